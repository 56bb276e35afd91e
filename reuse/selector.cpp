#include "reuse/selector.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "reuse/query_selector.h"
#include "reuse/row_ranking.h"
#include "reuse/trace_selector.h"

namespace spolia {
namespace {

constexpr std::array<std::string_view, 7> kNames = {"none",  "full",  "epic",    "cacheblend",
                                                    "query", "trace", "adaptive"};
constexpr int32_t kHeadRowsMax = 1024;

// Decides from the spans alone, before anything is computed.
class UnstagedSelector : public Selector {
public:
    std::span<const CheckStage> stages() const final { return {}; }
    std::vector<int32_t> choose(int32_t, const StageView&) const final {
        assert(false && "a selector without stages is not asked at a stage");
        return {};
    }
};

void append_rows(TokenSpan span, std::vector<int32_t>& rows) {
    for (int32_t row = span.begin; row < span.end; ++row) {
        rows.push_back(row);
    }
}

class NoneSelector final : public UnstagedSelector {
public:
    std::string_view name() const override { return "none"; }
    RowChoice pick(const Selection&) const override { return {}; }
};

// Everything, settled or not: what is left of reuse is then exactly dense compute.
class FullSelector final : public UnstagedSelector {
public:
    std::string_view name() const override { return "full"; }
    RowChoice pick(const Selection& selection) const override {
        RowChoice choice{.rows = {}, .risk = 0};
        for (const PassiveSpan& span : selection.spans) append_rows(span.rows, choice.rows);
        return choice;
    }
};

// EPIC (arXiv 2410.15332): a chunk's first rows drew the attention of a sequence's start when they
// were encoded alone, and do so no longer.
class EpicSelector final : public UnstagedSelector {
public:
    explicit EpicSelector(int32_t head_rows) : head_rows_(head_rows) {}
    std::string_view name() const override { return "epic"; }
    RowChoice pick(const Selection& selection) const override {
        RowChoice choice;
        for (const PassiveSpan& span : selection.spans) {
            if (!span.settled) {
                append_rows(
                    {span.rows.begin, span.rows.begin + std::min(head_rows_, span.rows.size())},
                    choice.rows);
            }
        }
        return choice;
    }

private:
    int32_t head_rows_;
};

// CacheBlend (arXiv 2405.16444) with the paper's gradual filtering: at each stage the rows that
// deviate most stay active.
class CacheBlendSelector final : public Selector {
public:
    CacheBlendSelector(std::vector<CheckStage> stages, Deviation deviation)
        : stages_(std::move(stages)), deviation_(deviation) {}
    std::string_view name() const override { return "cacheblend"; }
    std::span<const CheckStage> stages() const override { return stages_; }
    Deviation deviation() const override { return deviation_; }
    RowChoice pick(const Selection& selection) const override {
        return {.rows = unsettled_rows(selection.spans)};
    }
    std::vector<int32_t> choose(int32_t stage, const StageView& view) const override {
        assert(stage >= 0 && static_cast<size_t>(stage) < stages_.size());
        return top_rows(view.candidates, view.deviation,
                        share_of_rows(stages_[static_cast<size_t>(stage)].ratio, view.n_passive));
    }

private:
    std::vector<CheckStage> stages_;
    Deviation deviation_;
};

Status check_stages(const SelectorParams& params, int32_t n_layer) {
    const std::span<const CheckStage> stages = params.stages;
    const std::string selector = "selector " + params.policy;
    if (stages.empty()) {
        return invalid(selector + ": needs at least one check stage (layer and ratio)");
    }
    for (size_t i = 0; i < stages.size(); ++i) {
        const CheckStage& stage = stages[i];
        const std::string where = selector + ", stage " + std::to_string(i) + ": ";
        if (stage.layer < 1 || stage.layer >= n_layer) {
            return invalid(where + "layer " + std::to_string(stage.layer) +
                           " is not a check layer of a model of " + std::to_string(n_layer) +
                           " layers; give one from 1 to " + std::to_string(n_layer - 1));
        }
        if (!(stage.ratio > 0 && stage.ratio <= 1)) {
            return invalid(where + "ratio " + std::to_string(stage.ratio) +
                           " is not above 0 and at most 1");
        }
        if (i > 0 && stage.layer <= stages[i - 1].layer) {
            return invalid(where + "layer " + std::to_string(stage.layer) +
                           " does not come after the stage before; give stages in layer order");
        }
        if (i > 0 && stage.ratio > stages[i - 1].ratio) {
            return invalid(
                where + "ratio " + std::to_string(stage.ratio) +
                " is above that of the stage before; rows that were dropped stay dropped");
        }
    }
    return {};
}

Result<std::unique_ptr<Selector>> make_query(SelectorParams params, int32_t n_layer) {
    if (params.stages.size() != 1) {
        return invalid("selector query: takes one check stage (layer and ratio), not " +
                       std::to_string(params.stages.size()));
    }
    // Without a check layer it is of no matter whether the model has one of that number.
    const bool checks = params.rank != QueryRank::kAttention;
    if (!checks) params.stages.front().layer = 1;
    if (Status status = check_stages(params, checks ? n_layer : 2); !status.ok()) {
        return std::move(status).error();
    }
    return std::unique_ptr<Selector>(
        std::make_unique<QuerySelector>(params.stages.front(), params.deviation, params.rank));
}

Result<std::unique_ptr<Selector>> make_trace(const SelectorParams& params) {
    if (!(params.trace_ratio > 0 && params.trace_ratio <= 1)) {
        return invalid("selector trace: ratio " + std::to_string(params.trace_ratio) +
                       " is not in (0, 1]");
    }
    return std::unique_ptr<Selector>(std::make_unique<TraceSelector>(params.trace_ratio));
}

Result<std::unique_ptr<Selector>> make_adaptive(const SelectorParams& params, int32_t n_layer) {
    if (!(params.weight_min >= 0 && params.weight_min <= 1)) {
        return invalid("selector adaptive: weight_min " + std::to_string(params.weight_min) +
                       " is not in [0, 1]");
    }
    if (params.check_layer < 0 || params.check_layer >= n_layer) {
        return invalid("selector adaptive: layer " + std::to_string(params.check_layer) +
                       " is not a check layer of a model of " + std::to_string(n_layer) +
                       " layers, nor 0");
    }
    if (!(params.deviation_min >= 0)) {
        return invalid("selector adaptive: deviation_min " + std::to_string(params.deviation_min) +
                       " is not a squared deviation");
    }
    return std::unique_ptr<Selector>(std::make_unique<AdaptiveSelector>(
        params.weight_min, params.check_layer, params.deviation_min));
}

}  // namespace

Result<std::unique_ptr<Selector>> make_selector(const SelectorParams& params, int32_t n_layer) {
    if (params.policy == "none") {
        return std::unique_ptr<Selector>(std::make_unique<NoneSelector>());
    }
    if (params.policy == "full") {
        return std::unique_ptr<Selector>(std::make_unique<FullSelector>());
    }
    if (params.policy == "epic") {
        if (params.head_rows < 1 || params.head_rows > kHeadRowsMax) {
            return invalid("selector epic: head_rows " + std::to_string(params.head_rows) +
                           " is not from 1 to " + std::to_string(kHeadRowsMax));
        }
        return std::unique_ptr<Selector>(std::make_unique<EpicSelector>(params.head_rows));
    }
    if (params.policy == "cacheblend") {
        if (Status status = check_stages(params, n_layer); !status.ok()) {
            return std::move(status).error();
        }
        return std::unique_ptr<Selector>(
            std::make_unique<CacheBlendSelector>(params.stages, params.deviation));
    }
    if (params.policy == "query") return make_query(params, n_layer);
    if (params.policy == "trace") return make_trace(params);
    if (params.policy == "adaptive") return make_adaptive(params, n_layer);
    return invalid("unknown selector \"" + params.policy + "\"; known: " + list_of_selectors());
}

std::span<const std::string_view> selector_names() { return kNames; }

std::string list_of_selectors() {
    std::string names;
    for (const std::string_view name : kNames) {
        names += (names.empty() ? "" : ", ") + std::string(name);
    }
    return names;
}

}  // namespace spolia
