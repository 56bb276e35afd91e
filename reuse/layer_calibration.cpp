#include "reuse/layer_calibration.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "reuse/half_float.h"
#include "reuse/row_ranking.h"

namespace spolia {
namespace {

// The rows that count as the worst of a prompt: the share that is recomputed by default.
constexpr double kWorstShare = 0.15;
constexpr double kAucOfChance = 0.5;
constexpr double kGoodShare = 0.9;  // of what is above chance

void add_changes(std::span<const uint16_t> fresh, std::span<const uint16_t> old, size_t dim,
                 std::vector<float>& deviations) {
    for (size_t row = 0; row < deviations.size(); ++row) {
        double change = 0, norm = 0;
        for (size_t i = row * dim; i < (row + 1) * dim; ++i) {
            const double before = half_to_float(old[i]);
            const double difference = half_to_float(fresh[i]) - before;
            change += difference * difference;
            norm += before * before;
        }
        deviations[row] += static_cast<float>(change / norm);
    }
}

// Ranks from 1, equal values sharing the mean of theirs.
std::vector<double> ranks(std::span<const float> values) {
    std::vector<size_t> order(values.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, {}, [&](size_t i) { return values[i]; });
    std::vector<double> ranks(values.size());
    for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
        const double shared = static_cast<double>(begin + 1 + end) / 2;
        for (size_t i = begin; i < end; ++i) ranks[order[i]] = shared;
    }
    return ranks;
}

bool all_numbers(const std::vector<std::vector<float>>& deviations) {
    return std::ranges::all_of(deviations, [](const auto& of_layer) {
        return std::ranges::all_of(of_layer, [](float d) { return std::isfinite(d); });
    });
}

}  // namespace

std::vector<float> row_deviations(const KvBlock& fresh, const KvBlock& old, int32_t layer,
                                  Deviation kind) {
    assert(fresh.n_rows() == old.n_rows());
    const KvLayout& layout = old.meta().layout;
    std::vector<float> deviations(static_cast<size_t>(old.n_rows()));
    if (kind != Deviation::kValues) {
        add_changes(fresh.k(layer), old.k(layer), static_cast<size_t>(layout.k_dim), deviations);
    }
    if (kind != Deviation::kKeys) {
        add_changes(fresh.v(layer), old.v(layer), static_cast<size_t>(layout.v_dim), deviations);
    }
    return deviations;
}

double area_under_curve(std::span<const float> scores, const std::vector<bool>& positive) {
    assert(scores.size() == positive.size());
    const std::vector<double> rank = ranks(scores);
    double sum = 0, n_positive = 0;
    for (size_t i = 0; i < rank.size(); ++i) {
        if (!positive[i]) continue;
        sum += rank[i];
        ++n_positive;
    }
    const double n_negative = static_cast<double>(rank.size()) - n_positive;
    assert(n_positive > 0 && n_negative > 0);
    return (sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative);
}

double rank_correlation(std::span<const float> a, std::span<const float> b) {
    assert(a.size() == b.size());
    const std::vector<double> rank_a = ranks(a), rank_b = ranks(b);
    const double mean = (static_cast<double>(a.size()) + 1) / 2;
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < rank_a.size(); ++i) {
        ab += (rank_a[i] - mean) * (rank_b[i] - mean);
        aa += (rank_a[i] - mean) * (rank_a[i] - mean);
        bb += (rank_b[i] - mean) * (rank_b[i] - mean);
    }
    return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

LayerCalibration::LayerCalibration(int32_t n_layer) {
    for (int32_t layer = 1; layer < n_layer; ++layer) sums_.push_back({.layer = layer});
}

void LayerCalibration::add(const std::vector<std::vector<float>>& deviations) {
    assert(deviations.size() == sums_.size() + 1);
    const std::vector<float>& last = deviations.back();
    const auto n_rows = static_cast<int32_t>(last.size());
    const size_t n_worst = share_of_rows(kWorstShare, n_rows);
    if (n_worst == 0 || n_worst >= last.size() || !all_numbers(deviations)) return;
    const auto [least, most] = std::ranges::minmax(last);
    if (least == most) return;

    std::vector<int32_t> indices(last.size());
    std::iota(indices.begin(), indices.end(), 0);
    std::vector<bool> worst(last.size());
    for (const int32_t i : top_rows(indices, last, n_worst)) worst[static_cast<size_t>(i)] = true;
    for (LayerScore& sum : sums_) {
        const std::vector<float>& at_layer = deviations[static_cast<size_t>(sum.layer)];
        sum.auc += area_under_curve(at_layer, worst);
        sum.correlation += rank_correlation(at_layer, last);
    }
    ++n_prompts_;
    n_rows_ += n_rows;
}

std::vector<LayerScore> LayerCalibration::scores() const {
    if (n_prompts_ == 0) return {};
    std::vector<LayerScore> means = sums_;
    for (LayerScore& mean : means) {
        mean.auc /= n_prompts_;
        mean.correlation /= n_prompts_;
    }
    return means;
}

std::optional<int32_t> cheapest_good_layer(std::span<const LayerScore> scores) {
    assert(!scores.empty());
    const auto n_layer = scores.size() + 1;
    const auto candidates = scores.first(std::max<size_t>(1, n_layer / 2));
    const double best = std::ranges::max(candidates, {}, &LayerScore::auc).auc;
    if (best < kCheckAucMin) return std::nullopt;
    const double good = kAucOfChance + kGoodShare * (best - kAucOfChance);
    return std::ranges::find_if(candidates,
                                [&](const LayerScore& score) { return score.auc >= good; })
        ->layer;
}

}  // namespace spolia
