#include "reuse/trace_selector.h"

#include <algorithm>
#include <cassert>

#include "reuse/row_ranking.h"

namespace spolia {
namespace {

bool has_text(const Selection& selection) {
    return selection.outline != nullptr && !selection.outline->sentences.empty();
}

void take(const TracedRun& run, RowChoice& choice) {
    for (int32_t row = run.rows.begin; row < run.rows.end; ++row) {
        choice.rows.push_back(row);
        choice.weights.push_back(run.weight);
    }
}

void leave(const TracedRun& run, RowChoice& choice) {
    choice.risk += static_cast<double>(run.weight);
}

}  // namespace

RowChoice TraceSelector::pick(const Selection& selection) const {
    if (!has_text(selection)) return {};
    std::vector<TracedRun> runs = trace_question(*selection.outline, selection.spans);
    const std::vector<int32_t> unsettled = unsettled_rows(selection.spans);
    auto n_left =
        static_cast<int32_t>(share_of_rows(ratio_, static_cast<int32_t>(unsettled.size())));
    // Of equal weight those in front.
    std::ranges::stable_sort(runs, std::ranges::greater{}, &TracedRun::weight);
    RowChoice choice{.rows = {}, .risk = 0};
    std::vector<TracedRun> taken;
    for (const TracedRun& run : runs) {
        if (run.weight <= kWeightOffPath || run.rows.size() > n_left) {
            leave(run, choice);
            continue;
        }
        n_left -= run.rows.size();
        taken.push_back(run);
    }
    std::ranges::sort(taken, {}, [](const TracedRun& run) { return run.rows.begin; });
    for (const TracedRun& run : taken) take(run, choice);
    return choice;
}

std::vector<int32_t> TraceSelector::choose(int32_t, const StageView&) const {
    assert(false && "trace has no check layers");
    return {};
}

AdaptiveSelector::AdaptiveSelector(double weight_min, int32_t check_layer, double deviation_min)
    : weight_min_(weight_min), deviation_min_(deviation_min) {
    if (check_layer > 0) stages_ = {{check_layer, 1.0}};
}

RowChoice AdaptiveSelector::pick(const Selection& selection) const {
    if (!has_text(selection)) return {.rows = unsettled_rows(selection.spans), .risk = 0};
    RowChoice choice{.rows = {}, .risk = 0};
    for (const TracedRun& run : trace_question(*selection.outline, selection.spans)) {
        if (static_cast<double>(run.weight) >= weight_min_) {
            take(run, choice);
        } else {
            leave(run, choice);
        }
    }
    return choice;
}

std::vector<int32_t> AdaptiveSelector::choose(int32_t, const StageView& view) const {
    std::vector<int32_t> kept;
    for (size_t i = 0; i < view.candidates.size(); ++i) {
        const float weight = view.weights.empty() ? 1 : view.weights[i];
        // Not a number: a broken row.
        if (!(weight * view.deviation[i] < deviation_min_)) kept.push_back(view.candidates[i]);
    }
    return kept;
}

}  // namespace spolia
