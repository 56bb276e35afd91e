#include "broker/guard/ladder.h"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

namespace spolia {
namespace {

constexpr int kFactors[] = {1, 2, 4};  // of what the first step recomputes
constexpr int32_t kHeadRowsMax = 128;

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value);
    return text;
}

std::string label_epic(const SelectorParams& params) {
    return "head_rows=" + std::to_string(params.head_rows);
}

void raise_epic(SelectorParams& params, int factor) {
    const int32_t most = std::max(params.head_rows, kHeadRowsMax);
    params.head_rows =
        static_cast<int32_t>(std::min(int64_t{most}, int64_t{params.head_rows} * factor));
}

std::string label_cacheblend(const SelectorParams& params) {
    std::string ratios, layers;
    for (const CheckStage& stage : params.stages) {
        ratios += (ratios.empty() ? "" : "/") + number(stage.ratio);
        layers += (layers.empty() ? "" : "/") + std::to_string(stage.layer);
    }
    std::string label = "ratio=" + ratios + ",layer=" + layers;
    if (params.deviation == Deviation::kKeys) label += ",deviation=k";
    if (params.deviation == Deviation::kValues) label += ",deviation=v";
    return label;
}

void raise_cacheblend(SelectorParams& params, int factor) {
    for (CheckStage& stage : params.stages) stage.ratio = std::min(1.0, stage.ratio * factor);
}

std::string label_query(const SelectorParams& params) {
    const bool checks = params.rank == QueryRank::kAttentionDeviation;
    return checks ? label_cacheblend(params)
                  : "rank=attention,ratio=" + number(params.stages.front().ratio);
}

std::string label_trace(const SelectorParams& params) {
    return "ratio=" + number(params.trace_ratio);
}

void raise_trace(SelectorParams& params, int factor) {
    params.trace_ratio = std::min(1.0, params.trace_ratio * factor);
}

std::string label_adaptive(const SelectorParams& params) {
    const std::string label =
        "weight_min=" + number(params.weight_min) + ",layer=" + std::to_string(params.check_layer);
    return params.check_layer == 0 ? label
                                   : label + ",deviation_min=" + number(params.deviation_min);
}

void raise_adaptive(SelectorParams& params, int factor) { params.weight_min /= factor; }

// A selector with settings: what tells them apart, and how to recompute `factor` times as much.
struct Scale {
    std::string_view policy;
    std::string (*label)(const SelectorParams& params);
    void (*raise)(SelectorParams& params, int factor);
};

constexpr Scale kScales[] = {
    {"epic", label_epic, raise_epic},
    {"cacheblend", label_cacheblend, raise_cacheblend},
    {"query", label_query, raise_cacheblend},
    {"trace", label_trace, raise_trace},
    {"adaptive", label_adaptive, raise_adaptive},
};

void add_steps(const SelectorParams& params, const Scale& scale, std::vector<LadderStep>& ladder) {
    const std::string first = params.policy + ":" + scale.label(params);
    std::string last;  // what it recomputes
    for (const int factor : kFactors) {
        SelectorParams raised = params;
        scale.raise(raised, factor);
        if (const std::string amount = scale.label(raised); amount != std::exchange(last, amount)) {
            const std::string times = factor == 1 ? "" : " x" + std::to_string(factor);
            ladder.push_back({first + times, raised});
        }
    }
}

// What the question's path does not tell, the deviations of all rows do: on the sample model more
// of the path was over the budget where these were not.
void add_check_of_all_rows(const SelectorParams& params, std::vector<LadderStep>& ladder) {
    SelectorParams all = params;
    all.policy = "cacheblend";
    all.stages.resize(1);
    all.stages.front().layer = params.check_layer;
    ladder.push_back(
        {ladder.front().label + " > " + all.policy + ":" + label_cacheblend(all), all});
}

}  // namespace

bool is_dearer(std::string_view label) { return label.find(' ') != label.npos; }

std::vector<LadderStep> make_ladder(const SelectorParams& params) {
    const auto scale = std::ranges::find(kScales, params.policy, &Scale::policy);
    if (scale == std::end(kScales)) return {{params.policy, params}};
    std::vector<LadderStep> ladder;
    if (params.policy == "adaptive" && params.check_layer > 0) {
        ladder.push_back({params.policy + ":" + scale->label(params), params});
        add_check_of_all_rows(params, ladder);
    } else {
        add_steps(params, *scale, ladder);
    }
    return ladder;
}

}  // namespace spolia
