#include "broker/core/cost_model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace spolia {
namespace {

// A sample's weight halves every 14 samples: old enough to remember long prefills among many
// short ones, young enough to follow a machine that throttles.
constexpr double kFade = 0.95;
// A sample that misses the prediction by more than this (relative) counts less: a hiccup of the
// machine must not turn the model over.
constexpr double kOutlierError = 0.5;
constexpr int64_t kSamplesTrusted = 4;
// A model with more terms has to explain the samples this much better.
constexpr double kWorthATerm = 0.9;
// Squared relative error below which samples count as explained.
constexpr double kExplained = 1e-6;
constexpr double kRidge = 1e-9;

constexpr double kMeanStep = 0.2;
constexpr double kComposedFactorMin = 0.25;
constexpr double kComposedFactorMax = 16;
constexpr double kForgive = 0.98;
// Share of a layer that making Q, K and V takes: what the check layer costs a row that is then
// dropped.
constexpr double kQkvShare = 0.2;
// Of the rows on a question's path, those that adaptive's check layer leaves; of the sample model a
// tenth to a sixth.
constexpr double kChangedShare = 0.15;

void move_mean(double& mean, bool& measured, double value) {
    mean = measured ? mean + kMeanStep * (value - mean) : value;
    measured = true;
}

// Solves the normal equations for the terms named by `mask`; the others are 0. False when singular.
template <size_t N>
bool solve(const std::array<std::array<double, N>, N>& normal, const std::array<double, N>& moment,
           unsigned mask, std::array<double, N>& solution) {
    std::array<std::array<double, N + 1>, N> rows{};
    for (size_t i = 0; i < N; ++i) {
        const bool in = (mask >> i & 1u) != 0;
        for (size_t j = 0; j < N; ++j) {
            if (in && (mask >> j & 1u) != 0) rows[i][j] = normal[i][j];
        }
        rows[i][i] = in ? rows[i][i] * (1 + kRidge) : 1;
        rows[i][N] = in ? moment[i] : 0;
    }
    for (size_t i = 0; i < N; ++i) {
        size_t pivot = i;
        for (size_t r = i + 1; r < N; ++r) {
            if (std::abs(rows[r][i]) > std::abs(rows[pivot][i])) pivot = r;
        }
        std::swap(rows[i], rows[pivot]);
        if (rows[i][i] == 0) return false;
        for (size_t r = 0; r < N; ++r) {
            if (r == i) continue;
            const double factor = rows[r][i] / rows[i][i];
            for (size_t c = i; c <= N; ++c) rows[r][c] -= factor * rows[i][c];
        }
    }
    for (size_t i = 0; i < N; ++i) solution[i] = rows[i][N] / rows[i][i];
    return true;
}

// Of all layers of all rows, what is computed where each stage leaves its share of them.
double staged_share(std::span<const CheckStage> stages, int32_t n_layer) {
    double share = 0;
    double ratio = 1;  // of the rows, active in the layers from `layer` on
    int32_t layer = 0;
    for (const CheckStage& stage : stages) {
        share += ratio * (stage.layer - layer) + (ratio - stage.ratio) * kQkvShare;
        layer = stage.layer;
        ratio = stage.ratio;
    }
    share += ratio * (n_layer - layer);
    return std::clamp(share / std::max(n_layer, 1), 0.0, 1.0);
}

double adaptive_share(const SelectorParams& params, int32_t n_layer) {
    if (params.check_layer == 0) return 1;
    const CheckStage stage{params.check_layer, kChangedShare};
    return staged_share({&stage, 1}, n_layer);
}

}  // namespace

Work dense_work(TokenSpan span) {
    if (span.empty()) return {};
    const double rows = span.size();
    // Row p attends to p + 1 rows.
    return {rows, rows * (span.begin + 1 + span.end) / 2};
}

Work scaled(const Work& work, double share) {
    return {work.rows * share, work.row_context * share};
}

double mend_share(const SelectorParams& params, int32_t n_layer, int32_t n_rows, int32_t n_picked) {
    if (n_rows <= 0 || params.policy == "none") return 0;
    if (params.policy == "full") return 1;
    if (params.policy == "epic") return std::min(1.0, double(params.head_rows) / n_rows);
    if (params.policy == "query" && params.rank == QueryRank::kAttention) {
        return params.stages.front().ratio;
    }
    if (params.policy == "trace") return params.trace_ratio;
    if (params.policy == "adaptive") {
        return adaptive_share(params, n_layer) * n_picked / n_rows;
    }
    return staged_share(params.stages, n_layer);
}

CostModel::CostModel(std::span<const CostSample> samples) {
    for (const CostSample& sample : samples) observe_compute(dense_work(sample.rows), sample.ms);
}

void CostModel::observe(const PrefillCost& cost, double compute_ms_seen, double place_ms) {
    if (cost.rows_placed > 0) {
        move_mean(place_ms_per_row_, place_measured_, place_ms / cost.rows_placed);
    }
    if (!cost.composed) {
        observe_compute(cost.work, compute_ms_seen);
        return;
    }
    const double predicted = compute_ms(cost.work);
    if (predicted <= 0 || compute_ms_seen <= 0) return;
    const double factor = compute_ms_seen / predicted;
    composed_factor_ += kMeanStep * (factor - composed_factor_);
    composed_factor_ = std::clamp(composed_factor_, kComposedFactorMin, kComposedFactorMax);
}

void CostModel::observe_load(int32_t rows, double ms) {
    if (rows > 0) move_mean(load_ms_per_row_, load_measured_, ms / rows);
}

void CostModel::forgive() {
    if (composed_factor_ > 1) composed_factor_ = 1 + (composed_factor_ - 1) * kForgive;
}

double CostModel::predict_ms(const PrefillCost& cost) const {
    const double compute = compute_ms(cost.work) * (cost.composed ? composed_factor_ : 1);
    return compute + cost.rows_placed * place_ms_per_row_ + cost.rows_loaded * load_ms_per_row_;
}

CostModel::Terms CostModel::terms_of(const Work& work) { return {1, work.rows, work.row_context}; }

double CostModel::compute_ms(const Work& work) const {
    const Terms terms = terms_of(work);
    double ms = 0;
    for (int i = 0; i < kTerms; ++i) ms += coefficients_[i] * terms[i];
    return ms;
}

void CostModel::observe_compute(const Work& work, double ms) {
    if (work.rows <= 0 || !(ms > 0)) return;
    double weight = 1;
    if (n_samples_ >= kSamplesTrusted) {
        const double error = std::abs(compute_ms(work) / ms - 1);
        weight = std::min(1.0, kOutlierError / std::max(error, kOutlierError));
    }
    // Divided by the time taken, so that what is squared is the relative error.
    Terms x = terms_of(work);
    for (double& term : x) term /= ms;
    for (int i = 0; i < kTerms; ++i) {
        for (int j = 0; j < kTerms; ++j) {
            normal_[i][j] = normal_[i][j] * kFade + weight * x[i] * x[j];
        }
        moment_[i] = moment_[i] * kFade + weight * x[i];
    }
    weight_ = weight_ * kFade + weight;
    ++n_samples_;
    fit();
}

void CostModel::fit() {
    // Sets of terms, simplest first: rows alone, then with context, with the fixed cost, with both.
    constexpr unsigned kMasks[] = {0b010, 0b110, 0b011, 0b111};
    double best = 0;
    bool found = false;
    for (const unsigned mask : kMasks) {
        Terms candidate{};
        if (!solve(normal_, moment_, mask, candidate)) continue;
        if (std::any_of(candidate.begin(), candidate.end(), [](double c) { return !(c >= 0); })) {
            continue;
        }
        // Sum of weight * (1 - c.x)^2 at the least-squares solution.
        double residual = weight_;
        for (int i = 0; i < kTerms; ++i) residual -= candidate[i] * moment_[i];
        residual = std::max(residual, 0.0);
        if (found && residual >= best * kWorthATerm - kExplained * weight_) continue;
        coefficients_ = candidate;
        best = residual;
        found = true;
    }
}

}  // namespace spolia
