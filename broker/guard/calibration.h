#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace spolia {

// How far answers may be from dense compute, in plain terms.
struct GuardBudget {
    double max_kl = 0.05;         // of the first token's distribution, nats
    double min_agreement = 0.99;  // share of requests whose likeliest first token is the same
};

// The share of requests that must be within max_kl: the 99th percentile is.
inline constexpr double kGuardCoverage = 0.99;

// What a shadow prefill found out about one prompt under one setting of a selector.
struct GuardSample {
    double risk = 1;         // RowChoice::risk, known before compute
    double kl = 0;           // KL(dense || composed) of the first token, nats
    bool same_first = true;  // both have the same likeliest first token
    uint64_t prompt = 0;     // names the prompt
};

// What is known of one setting of a selector, from its last samples: up to which risk it may serve
// under a budget, and what divergence to expect at a risk.
//
// The guarantee. Let n samples have a risk <= t, k of them over the budget, and let the next
// request be exchangeable with the samples: drawn from the same traffic, in no special order. Then
// for a fixed t the chance that it has a risk <= t and is over the budget is on average at most
// (k + 1) / (n + 1), the share it would have if it were one of them and the worst. max_risk() keeps
// that under the budget's allowance. It also holds for the t that is chosen by the samples: with
// all N >= n samples in the denominator the share only grows with t, so the chosen t is never
// beyond the one that conformal risk control (arXiv 2208.02814) would choose for "served and over
// the budget". Where traffic changes there is no such guarantee; then demotion (guard.h) steps in.
//
// Samples are taken of requests that were chosen by their risk or by chance, never by their
// divergence, and a prompt that is asked again counts once. Not thread-safe.
class Calibration {
public:
    static constexpr size_t kSamplesMax = 2000;

    // Replaces the sample of the same prompt, else the oldest where there are too many.
    void add(const GuardSample& sample);
    void assign(const std::vector<GuardSample>& samples);
    void clear() { assign({}); }
    void keep_newest(size_t n);

    // Oldest first.
    const std::deque<GuardSample>& samples() const { return samples_; }
    // Fewer samples than this allow nothing under the budget, however good they are.
    static size_t samples_needed(const GuardBudget& budget);
    // The largest risk that may be served; nullopt: none.
    std::optional<double> max_risk(const GuardBudget& budget) const;
    // Mean KL to expect, by isotonic regression on the risk; 0 without samples.
    double predicted_kl(double risk) const;

private:
    // A run of samples whose KL averages to `kl`; more than the run before.
    struct Level {
        double risk = 0;  // of its first sample
        double kl = 0;
        size_t n = 0;
    };
    void push(GuardSample sample);
    void fit();

    std::deque<GuardSample> samples_;
    std::vector<GuardSample> by_risk_;
    std::vector<Level> levels_;
};

}  // namespace spolia
