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

double total_weight(std::span<const TracedRun> runs) {
    double sum = 0;
    for (const TracedRun& run : runs) sum += static_cast<double>(run.weight);
    return sum;
}

int32_t n_unsettled(const Selection& selection) {
    int32_t n = 0;
    for (const PassiveSpan& span : selection.spans) n += span.settled ? 0 : span.rows.size();
    return n;
}

// The rows of the first n runs; what the others weigh is left as a risk.
RowChoice take(std::span<const TracedRun> runs, size_t n) {
    RowChoice choice{.rows = {}, .risk = total_weight(runs.subspan(n))};
    for (const TracedRun& run : runs.first(n)) {
        for (int32_t row = run.rows.begin; row < run.rows.end; ++row) choice.rows.push_back(row);
    }
    std::ranges::sort(choice.rows);
    return choice;
}

}  // namespace

RowChoice TraceSelector::pick(const Selection& selection) const {
    if (!has_text(selection)) return {};
    const std::vector<TracedRun> runs = runs_by_weight(selection);
    const size_t n_rows_max = share_of_rows(ratio_, n_unsettled(selection));
    size_t n = 0, n_rows = 0;
    while (n < runs.size() && n_rows + runs[n].rows.size() <= n_rows_max) {
        n_rows += static_cast<size_t>(runs[n++].rows.size());
    }
    return take(runs, n);
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
    const auto left_out = std::ranges::find_if(
        runs, [&](const TracedRun& run) { return static_cast<double>(run.weight) < weight_min_; });
    return take(runs, static_cast<size_t>(std::distance(runs.begin(), left_out)));
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
