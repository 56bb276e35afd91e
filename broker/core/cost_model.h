#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "index/token.h"
#include "reuse/engine.h"
#include "reuse/selector.h"

namespace spolia {

// Compute, in units that time is proportional to. A row costs a share for the weights it goes
// through and a share for the rows that it attends to.
struct Work {
    double rows = 0;
    double row_context = 0;  // sum over the rows of the number of rows each attends to

    Work& operator+=(const Work& other) {
        rows += other.rows;
        row_context += other.row_context;
        return *this;
    }
};

// Work of computing the rows [span.begin, span.end) of a prompt through all layers.
Work dense_work(TokenSpan span);
// `work` times a share of the layers, or of the rows.
Work scaled(const Work& work, double share);

// The share of a full computation that a selector spends on the `n_rows` rows under a block, of
// which adaptive picks `n_picked`. Rows that must be computed anyway (glue, query) are not its
// business.
double mend_share(const SelectorParams& params, int32_t n_layer, int32_t n_rows, int32_t n_picked);

// What serving a prompt in one way takes.
struct PrefillCost {
    Work work;
    int32_t rows_placed = 0;
    int32_t rows_loaded = 0;  // of the rows placed, those that come from disk
    bool composed = false;    // some rows are placed outside an exact prefix
};

// A measured dense prefill, to start from.
struct CostSample {
    TokenSpan rows;  // those computed
    double ms = 0;
};

// Learns from observed prefills what compute and placement cost on this machine, and predicts from
// it. Compute is fitted as fixed + a * rows + b * row_context by least squares on relative
// errors, with exponentially fading weights; coefficients are never negative. Passes over composed
// prompts go another way through the engine, so they have a factor of their own on top.
class CostModel {
public:
    explicit CostModel(std::span<const CostSample> samples = {});

    void observe(const PrefillCost& cost, double compute_ms, double place_ms);
    void observe_load(int32_t rows, double ms);
    // A composed way was turned down because it looked too slow. What is never tried is never
    // measured again, so its factor fades towards 1 and the way gets another chance in time.
    void forgive();

    // Whether any prefill has been seen; until then predict_ms() is 0.
    bool measured() const { return n_samples_ > 0; }
    double predict_ms(const PrefillCost& cost) const;

private:
    static constexpr int kTerms = 3;  // fixed, rows, row_context
    using Terms = std::array<double, kTerms>;

    static Terms terms_of(const Work& work);
    double compute_ms(const Work& work) const;
    void observe_compute(const Work& work, double ms);
    void fit();

    std::array<Terms, kTerms> normal_{};  // sum of weight * x x^T, x the terms over the time taken
    Terms moment_{};                      // sum of weight * x
    double weight_ = 0;                   // sum of weights
    Terms coefficients_{};
    int64_t n_samples_ = 0;

    double composed_factor_ = 1;
    double place_ms_per_row_ = 0;
    bool place_measured_ = false;
    double load_ms_per_row_ = 0;
    bool load_measured_ = false;
};

}  // namespace spolia
