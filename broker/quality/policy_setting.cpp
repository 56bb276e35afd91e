#include "broker/quality/policy_setting.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

namespace spolia {
namespace {

template <class Number>
bool read_number(std::string_view text, Number& number) {
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && rest == end;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const size_t at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == text.npos) return parts;
        text.remove_prefix(at + 1);
    }
}

bool set_layers(std::string_view text, SelectorParams& params) {
    const std::vector<std::string_view> layers = split(text, '/');
    params.stages.resize(layers.size(), params.stages.front());
    for (size_t i = 0; i < layers.size(); ++i) {
        if (!read_number(layers[i], params.stages[i].layer)) return false;
    }
    return true;
}

bool set_ratios(std::string_view text, SelectorParams& params) {
    const std::vector<std::string_view> ratios = split(text, '/');
    if (ratios.size() != params.stages.size()) return false;
    for (size_t i = 0; i < ratios.size(); ++i) {
        if (!read_number(ratios[i], params.stages[i].ratio)) return false;
    }
    return true;
}

bool set_deviation(std::string_view text, SelectorParams& params) {
    constexpr std::array<std::pair<std::string_view, Deviation>, 3> kNames = {
        {{"both", Deviation::kBoth}, {"keys", Deviation::kKeys}, {"values", Deviation::kValues}}};
    for (const auto& [name, deviation] : kNames) {
        if (text != name) continue;
        params.deviation = deviation;
        return true;
    }
    return false;
}

bool set_rank(std::string_view text, SelectorParams& params) {
    if (text != "both" && text != "attention") return false;
    params.rank = text == "both" ? QueryRank::kAttentionDeviation : QueryRank::kAttention;
    return true;
}

bool set_head_rows(std::string_view text, SelectorParams& params) {
    return read_number(text, params.head_rows);
}

bool set_trace_ratio(std::string_view text, SelectorParams& params) {
    return read_number(text, params.trace_ratio);
}

bool set_weight_min(std::string_view text, SelectorParams& params) {
    return read_number(text, params.weight_min);
}

bool set_check_layer(std::string_view text, SelectorParams& params) {
    return read_number(text, params.check_layer);
}

bool set_deviation_min(std::string_view text, SelectorParams& params) {
    return read_number(text, params.deviation_min);
}

struct PolicyKey {
    std::string_view policy;
    std::string_view name;
    std::string_view expects;
    bool (*set)(std::string_view text, SelectorParams& params);
    bool amount = false;  // says how many rows are recomputed
};

// In the order in which they are set and shown: ratios go to the layers there are.
constexpr std::array kKeys = {
    PolicyKey{"epic", "head_rows", "a number of rows", set_head_rows, true},
    PolicyKey{"cacheblend", "layer", "a layer, or several as 1/3", set_layers},
    PolicyKey{"cacheblend", "ratio", "a share for each layer, as 0.15 or 0.3/0.15", set_ratios,
              true},
    PolicyKey{"cacheblend", "deviation", "both, keys or values", set_deviation},
    PolicyKey{"query", "rank", "both (attention x deviation) or attention", set_rank},
    PolicyKey{"query", "layer", "a layer", set_layers},
    PolicyKey{"query", "ratio", "a share, as 0.15", set_ratios, true},
    PolicyKey{"query", "deviation", "both, keys or values", set_deviation},
    PolicyKey{"trace", "ratio", "a share, as 0.1", set_trace_ratio, true},
    PolicyKey{"adaptive", "layer", "a layer, 0: none", set_check_layer},
    PolicyKey{"adaptive", "deviation_min", "a squared relative deviation", set_deviation_min},
    PolicyKey{"adaptive", "weight_min", "a weight from 0 to 1", set_weight_min, true},
};

constexpr std::array<std::string_view, 34> kSweep = {
    "none",
    "epic:head_rows=1",
    "epic:head_rows=4",
    "epic:head_rows=16",
    "cacheblend:layer=1,ratio=0.05",
    "cacheblend:layer=1,ratio=0.15",
    "cacheblend:layer=1,ratio=0.3",
    "cacheblend:layer=2,ratio=0.03",
    "cacheblend:layer=2,ratio=0.05",
    "cacheblend:layer=2,ratio=0.1",
    "cacheblend:layer=2,ratio=0.15",
    "cacheblend:layer=3,ratio=0.03",
    "cacheblend:layer=3,ratio=0.05",
    "cacheblend:layer=3,ratio=0.15",
    "query:layer=2,ratio=0.01",
    "query:layer=2,ratio=0.03",
    "query:layer=2,ratio=0.1",
    "query:layer=3,ratio=0.01",
    "query:layer=3,ratio=0.03",
    "query:layer=3,ratio=0.1",
    "query:rank=attention,ratio=0.05",
    "query:rank=attention,ratio=0.15",
    "query:rank=attention,ratio=0.3",
    "trace:ratio=0.03",
    "trace:ratio=0.1",
    "trace:ratio=0.3",
    "adaptive:layer=2,weight_min=0.6",
    "adaptive:layer=2,weight_min=0.4",
    "adaptive:layer=2,weight_min=0.3",
    "adaptive:layer=2,weight_min=0.2",
    "adaptive:layer=3,weight_min=0.6",
    "adaptive:layer=3,weight_min=0.4",
    "adaptive:layer=3,weight_min=0.2",
    "full",
};

constexpr std::string_view kGuarded = "guarded:";

std::string keys_of(std::string_view policy) {
    std::string keys;
    for (const PolicyKey& key : kKeys) {
        if (key.policy == policy) keys += (keys.empty() ? "" : ", ") + std::string(key.name);
    }
    return keys;
}

bool is_selector(std::string_view name) {
    return std::ranges::find(selector_names(), name) != selector_names().end();
}

using Values = std::map<std::string_view, std::string_view>;

Result<Values> read_values(std::string_view text, std::string_view whole) {
    const std::string where = "policy " + std::string(whole) + ": ";
    Values values;
    for (const std::string_view pair : split(text, ',')) {
        const size_t equals = pair.find('=');
        if (equals == pair.npos) {
            return invalid(where + "\"" + std::string(pair) + "\" is not key=value");
        }
        const std::string_view key = pair.substr(0, equals);
        if (!values.emplace(key, pair.substr(equals + 1)).second) {
            return invalid(where + std::string(key) + " is given twice");
        }
    }
    return values;
}

std::string joined(std::string_view policy,
                   const std::vector<std::pair<std::string, std::string>>& values) {
    std::string text(policy);
    for (size_t i = 0; i < values.size(); ++i) {
        text += (i == 0 ? ":" : ",") + values[i].first + "=" + values[i].second;
    }
    return text;
}

// Whether the selector can be made for the model, runs on it, and does not compute most of it on
// its way to a check layer.
bool usable(const PolicySetting& setting, const ModelInfo& model) {
    const auto selector = make_selector(setting.params, model.kv.n_layer);
    if (!selector.ok()) return false;
    if ((*selector)->needs_fused_pass() && model.support != ReuseSupport::kFused) return false;
    const auto stages = (*selector)->stages();
    return stages.empty() || 2 * stages.back().layer <= model.kv.n_layer;
}

}  // namespace

Result<PolicySetting> parse_policy(std::string_view text) {
    if (text.starts_with(kGuarded)) {
        Result<PolicySetting> setting = parse_policy(text.substr(kGuarded.size()));
        if (!setting) return setting;
        if (setting->guarded) return invalid("policy " + std::string(text) + " is guarded twice");
        setting->guarded = true;
        setting->label.insert(0, kGuarded);
        setting->series.insert(0, kGuarded);
        return setting;
    }
    const size_t colon = text.find(':');
    const std::string_view name = text.substr(0, colon);
    if (!is_selector(name)) {
        return invalid("policy " + std::string(text) + ": unknown name; known: " +
                       list_of_selectors() + ", and guarded: in front of one");
    }
    Values values;
    if (colon != text.npos) {
        Result<Values> read = read_values(text.substr(colon + 1), text);
        if (!read) return std::move(read).error();
        values = std::move(read).value();
    }
    PolicySetting setting;
    setting.params.policy = name;
    std::vector<std::pair<std::string, std::string>> of_series;
    for (const PolicyKey& key : kKeys) {
        const auto given = values.find(key.name);
        if (key.policy != name || given == values.end()) continue;
        if (!key.set(given->second, setting.params)) {
            return invalid("policy " + std::string(text) + ": " + std::string(key.name) +
                           " must be " + std::string(key.expects));
        }
        setting.values.emplace_back(given->first, given->second);
        if (!key.amount) of_series.push_back(setting.values.back());
        values.erase(given);
    }
    if (!values.empty()) {
        const std::string known = keys_of(name);
        return invalid("policy " + std::string(text) + ": no parameter " +
                       std::string(values.begin()->first) +
                       (known.empty() ? "; it has none" : "; it has " + known));
    }
    setting.label = joined(name, setting.values);
    setting.series = joined(name, of_series);
    return setting;
}

void use_check_layer(int32_t layer, std::vector<PolicySetting>& settings) {
    for (PolicySetting& setting : settings) {
        const bool named = std::ranges::any_of(
            setting.values, [](const auto& value) { return value.first == "layer"; });
        if (named) continue;
        setting.params.stages.front().layer = layer;
        setting.params.check_layer = adaptive_check_layer(layer);
    }
}

std::string describe_policies() {
    std::string text;
    for (const std::string_view name : selector_names()) {
        const std::string keys = keys_of(name);
        text += "  " + std::string(name) + (keys.empty() ? "" : ": " + keys) + "\n";
    }
    text += "  guarded: and one of these: as far as a guard lets it serve\n";
    return text;
}

std::vector<PolicySetting> default_policies(const ModelInfo& model) {
    std::vector<PolicySetting> settings;
    const auto add = [&](std::string_view text) {
        Result<PolicySetting> setting = parse_policy(text);
        if (setting.ok() && usable(*setting, model)) {
            settings.push_back(std::move(setting).value());
        }
    };
    for (const std::string_view text : kSweep) add(text);
    for (const std::string_view name : selector_names()) {
        const bool swept = std::ranges::any_of(
            kSweep, [&](std::string_view text) { return text.substr(0, text.find(':')) == name; });
        if (!swept) add(name);
    }
    return settings;
}

Result<ReusePolicy> fast_policy(std::string_view name, int32_t check_layer,
                                const ModelInfo& model) {
    ReuseOptions reuse;
    reuse.fidelity = Fidelity::kFast;
    reuse.policy = std::string(name);
    ReuseDefaults defaults;
    defaults.check_layer = check_layer;
    return resolve_reuse(reuse, defaults, model);
}

Result<ReusePolicy> policy_of(const PolicySetting& setting, const ModelInfo& model,
                              const GuardBudget& budget) {
    Result<std::unique_ptr<Selector>> selector = make_selector(setting.params, model.kv.n_layer);
    if (!selector) return std::move(selector).error();
    if (model.support == ReuseSupport::kSpans && (*selector)->needs_fused_pass()) {
        return Error{ErrorCode::kUnsupported, "policy " + setting.label +
                                                  " needs the fused pass, which this model does "
                                                  "not have: " +
                                                  model.support_reason};
    }
    ReusePolicy policy;
    policy.fidelity = setting.guarded ? Fidelity::kGuarded : Fidelity::kFast;
    policy.params = setting.params;
    policy.selector = std::move(selector).value();
    policy.budget = budget;
    if (!setting.guarded) return policy;
    Result<std::vector<Rung>> rungs = make_rungs(setting.params, model);
    if (!rungs) return std::move(rungs).error();
    policy.ladder = std::move(rungs).value();
    return policy;
}

}  // namespace spolia
