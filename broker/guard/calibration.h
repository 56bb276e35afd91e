#pragma once

#include <cstddef>
#include <list>
#include <unordered_set>
#include <vector>

#include "broker/guard/sample.h"
#include "broker/guard/trial.h"

namespace spolia {

// What is known of one setting of a selector from its samples: which requests it may serve under a
// budget, and what divergence to expect at a risk.
//
// Samples are taken of requests that were chosen by their risk or by chance, never by their
// divergence, and a prompt that is asked again counts once. Not thread-safe.
class Calibration {
public:
    static constexpr size_t kSamplesMax = 4000;

    // How many prove a setting that is never bad; more than kSamplesMax where no number up to it
    // does.
    static size_t samples_needed(const GuardBudget& budget) {
        return Trial::samples_needed(budget, kSamplesMax);
    }

    // Where there are too many, the older half goes: an old good time must not hide a bad one now,
    // nor the other way round. False, and nothing changes, where the prompt is known.
    bool add(const GuardSample& sample);
    void assign(const std::vector<GuardSample>& samples);
    void clear() { assign({}); }

    // Oldest first.
    const std::vector<GuardSample>& samples() const { return samples_; }
    // Its trial under a budget, as if it had been held since the first sample: a few budgets'
    // trials are kept, others are held anew, from the samples there are, when they are asked for.
    const Trial& trial(const GuardBudget& budget) const;
    // Mean KL to expect, by isotonic regression on the risk; 0 without samples.
    double predicted_kl(double risk) const;

private:
    // A run of samples whose KL averages to `kl`; more than the run before.
    struct Level {
        double risk = 0;  // of its first sample
        double kl = 0;
        size_t n = 0;
    };
    void fit();

    std::vector<GuardSample> samples_;
    std::unordered_set<uint64_t> prompts_;
    std::vector<Level> levels_;
    mutable std::list<Trial> trials_;  // the last one asked for comes first
};

}  // namespace spolia
