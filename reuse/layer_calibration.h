#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "reuse/block.h"
#include "reuse/selector.h"

namespace spolia {

// |fresh - old|^2 / |old|^2 of each row, as a check at `layer` would give it: `fresh` are the rows
// that dense compute leaves, `old` the placed ones, in the same order and frame.
std::vector<float> row_deviations(const KvBlock& fresh, const KvBlock& old, int32_t layer,
                                  Deviation kind);

// The chance that a score of a positive is above one of a negative, equal ones counting half: 1
// where the scores part them, 0.5 where they know nothing. Both kinds must occur.
double area_under_curve(std::span<const float> scores, const std::vector<bool>& positive);

// Spearman's: of ranks, equal values sharing theirs. 0 where one side is all equal.
double rank_correlation(std::span<const float> a, std::span<const float> b);

// How well the deviation at a layer tells which rows end up far from dense.
struct LayerScore {
    int32_t layer = 0;
    double auc = 0;          // in telling the rows that end up worst from the others
    double correlation = 0;  // of ranks, with the deviation at the last layer
};

// Gathers prompts, each with the deviation of its rows at every layer.
class LayerCalibration {
public:
    explicit LayerCalibration(int32_t n_layer);

    // deviations[layer][i] of the prompt's i-th passive row. A prompt whose rows can't be parted
    // into worst ones and others, because there are too few or all are alike, says nothing.
    void add(const std::vector<std::vector<float>>& deviations);

    int32_t n_prompts() const { return n_prompts_; }
    int64_t n_rows() const { return n_rows_; }
    // Means over the prompts, of the layers from 1 on; empty without prompts.
    std::vector<LayerScore> scores() const;

private:
    std::vector<LayerScore> sums_;  // of layers from 1 on
    int32_t n_prompts_ = 0;
    int64_t n_rows_ = 0;
};

// The AUC that a check layer must have: one that ranks rows hardly better than chance (0.5) leaves
// out those that need it most.
inline constexpr double kCheckAucMin = 0.6;

// The cheapest good check layer. A check computes every row in front of its layer, so only the
// first half of the layers are candidates, and of these the first whose mean AUC is above chance by
// nine tenths of what the best candidate's is. None where the best is below kCheckAucMin. `scores`
// as LayerCalibration gives them; not empty.
std::optional<int32_t> cheapest_good_layer(std::span<const LayerScore> scores);

}  // namespace spolia
