#include "broker/wire/guard_state.h"

#include <cmath>
#include <utility>

#include "broker/guard/ladder.h"

namespace spolia {
namespace {

// Goes up when the format changes, or what a selector's settings and risks mean.
constexpr int kVersion = 2;

Json rung_json(const RungRecord& rung) {
    Json samples = Json::array();
    for (const GuardSample& sample : rung.samples) {
        samples.push_back({sample.risk, sample.doubt, sample.kl, sample.same_first, sample.prompt});
    }
    return {{"label", rung.label},
            {"demoted", rung.demoted},
            {"demotions", rung.n_demotions},
            {"samples", std::move(samples)}};
}

// Throws where a member is missing or of another type.
RungRecord rung_of(const Json& json) {
    RungRecord rung{.label = json.at("label").get<std::string>(),
                    .samples = {},
                    .demoted = json.at("demoted").get<bool>(),
                    .n_demotions = json.at("demotions").get<uint64_t>()};
    for (const Json& sample : json.at("samples")) {
        rung.samples.push_back({.risk = sample.at(0).get<double>(),
                                .doubt = sample.at(1).get<double>(),
                                .kl = sample.at(2).get<double>(),
                                .same_first = sample.at(3).get<bool>(),
                                .prompt = sample.at(4).get<uint64_t>()});
    }
    return rung;
}

Json budget_json(const GuardBudget& budget) { return {budget.max_kl, budget.min_agreement}; }

// null: no limit.
Json limit_json(double limit) { return std::isinf(limit) ? Json(nullptr) : Json(limit); }

Json region_json(const GuardRegion& region) {
    if (region.empty()) return nullptr;
    return {{"max_risk", limit_json(region.max_risk)}, {"max_doubt", limit_json(region.max_doubt)}};
}

Error corrupt(std::string message) { return {ErrorCode::kCorrupt, std::move(message)}; }

}  // namespace

std::string guard_state_json(const Key128& model, const GuardBudget& budget,
                             const std::vector<RungRecord>& rungs) {
    Json list = Json::array();
    for (const RungRecord& rung : rungs) list.push_back(rung_json(rung));
    const std::string checksum = hash_text(dump(list)).hex();
    return dump({{"version", kVersion},
                 {"model", model.hex()},
                 {"budget", budget_json(budget)},
                 {"checksum", checksum},
                 {"rungs", std::move(list)}});
}

Result<std::vector<RungRecord>> parse_guard_state(std::string_view text, const Key128& model,
                                                  const GuardBudget& budget) {
    try {
        const Json state = Json::parse(text);
        if (state.at("version") != kVersion) return corrupt("is of another version");
        if (state.at("model") != model.hex()) return corrupt("is another model's");
        const Json& list = state.at("rungs");
        if (state.at("checksum") != hash_text(dump(list)).hex()) return corrupt("is damaged");
        std::vector<RungRecord> rungs;
        for (const Json& json : list) rungs.push_back(rung_of(json));
        if (state.at("budget") != budget_json(budget)) {
            std::erase_if(rungs, [](const RungRecord& rung) { return is_dearer(rung.label); });
        }
        return rungs;
    } catch (const Json::exception&) {
        return corrupt("is damaged");
    }
}

Json rung_state_json(const RungState& rung) {
    return {{"rung", rung.label},
            {"samples", rung.n_samples},
            {"serves", region_json(rung.serves)},
            {"demoted", rung.demoted},
            {"demotions", rung.n_demotions}};
}

}  // namespace spolia
