#include "reuse/query_selector.h"

#include <cassert>

#include "reuse/row_ranking.h"

namespace spolia {

std::span<const CheckStage> QuerySelector::stages() const {
    if (rank_ == QueryRank::kAttention) return {};
    return {&stage_, 1};
}

RowChoice QuerySelector::pick(const Selection& selection) const {
    const std::vector<int32_t> rows = unsettled_rows(selection.spans);
    if (rank_ != QueryRank::kAttention) return {.rows = rows};
    std::vector<float> scores;
    for (const int32_t row : rows) scores.push_back(selection.attention[static_cast<size_t>(row)]);
    const size_t n_keep = share_of_rows(stage_.ratio, static_cast<int32_t>(rows.size()));
    return {.rows = top_rows(rows, scores, n_keep)};
}

std::vector<int32_t> QuerySelector::choose(int32_t, const StageView& view) const {
    assert(view.attention.size() == view.candidates.size());
    std::vector<float> scores(view.candidates.size());
    for (size_t i = 0; i < scores.size(); ++i) {
        scores[i] = view.attention[i] * view.deviation[i];
    }
    return top_rows(view.candidates, scores, share_of_rows(stage_.ratio, view.n_passive));
}

}  // namespace spolia
