#include "reuse/trace_selector.h"

#include <algorithm>
#include <cassert>

#include "reuse/row_ranking.h"

namespace spolia {
namespace {

bool has_text(const Selection& selection) {
    return selection.outline != nullptr && !selection.outline->sentences.empty();
}

// The runs of most weight first; of equal ones those in front.
std::vector<TracedRun> runs_by_weight(const Selection& selection) {
    std::vector<TracedRun> runs = trace_question(*selection.outline, selection.spans);
    std::ranges::stable_sort(runs, std::ranges::greater{}, &TracedRun::weight);
    return runs;
}

// The rows of the runs that `takes` says yes to, which is asked in their order; what the others
// weigh is left as a risk.
template <class Takes>
RowChoice take(std::span<const TracedRun> runs, const Takes& takes) {
    RowChoice choice{.rows = {}, .risk = 0};
    for (const TracedRun& run : runs) {
        if (!takes(run)) {
            choice.risk += static_cast<double>(run.weight);
            continue;
        }
        for (int32_t row = run.rows.begin; row < run.rows.end; ++row) choice.rows.push_back(row);
    }
    std::ranges::sort(choice.rows);
    return choice;
}

}  // namespace

RowChoice TraceSelector::pick(const Selection& selection) const {
    if (!has_text(selection)) return {};
    const std::vector<TracedRun> runs = runs_by_weight(selection);
    const std::vector<int32_t> unsettled = unsettled_rows(selection.spans);
    auto n_left =
        static_cast<int32_t>(share_of_rows(ratio_, static_cast<int32_t>(unsettled.size())));
    return take(runs, [&](const TracedRun& run) {
        const bool fits = run.weight > kWeightOffPath && run.rows.size() <= n_left;
        if (fits) n_left -= run.rows.size();
        return fits;
    });
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
    const std::vector<TracedRun> runs = runs_by_weight(selection);
    return take(
        runs, [&](const TracedRun& run) { return static_cast<double>(run.weight) >= weight_min_; });
}

std::vector<int32_t> AdaptiveSelector::choose(int32_t, const StageView& view) const {
    std::vector<int32_t> kept;
    for (size_t i = 0; i < view.candidates.size(); ++i) {
        // Not a number: a broken row.
        if (!(view.deviation[i] < deviation_min_)) kept.push_back(view.candidates[i]);
    }
    return kept;
}

}  // namespace spolia
