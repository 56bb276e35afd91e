#include "broker/guard/guard.h"

#include <algorithm>
#include <cmath>

namespace spolia {
namespace {

// The last served requests that are judged, any number of them: an old good time must not hide a
// bad one now.
constexpr size_t kServedMax = 100;
// What a rung that keeps its promise shows so seldom is taken for a broken one. Two bad answers in
// three suffice; by chance that is one demotion in some 5,000 shadows of served requests.
constexpr double kImprobable = 0.0005;
// Shadows of all requests up to here, then a share of them.
constexpr size_t kProvingSamples = 20;
// The same while nothing is served. A rung that may serve nothing remembers no more than this, or
// it would answer for a bad time long after it is over.
constexpr size_t kLearningSamples = 300;

// What time mends, first: it is what a user should hear of.
int rank(std::string_view refusal) {
    return refusal == kDemoted ? 2 : refusal == kUncalibrated ? 1 : 0;
}

size_t samples_to_learn(size_t n_needed) { return std::max(kLearningSamples, n_needed); }

}  // namespace

double binomial_tail(size_t n, size_t k, double p) {
    if (k == 0 || p >= 1) return k <= n ? 1 : 0;
    double term = std::pow(1 - p, static_cast<double>(n));
    double below = 0;
    for (size_t i = 0; i < k && i <= n; ++i) {
        below += term;
        term *= static_cast<double>(n - i) / static_cast<double>(i + 1) * p / (1 - p);
    }
    return std::max(0.0, 1 - below);
}

Guard::Rung* Guard::rung(std::string_view label) {
    const auto found = rungs_.find(label);
    if (found != rungs_.end()) return &found->second;
    if (rungs_.size() >= kRungsMax) return nullptr;
    return &rungs_[std::string(label)];
}

const Guard::Rung* Guard::find(std::string_view label) const {
    const auto found = rungs_.find(label);
    return found == rungs_.end() ? nullptr : &found->second;
}

GuardDecision Guard::decide(std::span<const RungRisk> rungs, const GuardBudget& budget) const {
    GuardDecision decision{.rung = {}, .refusal = kOverBudget};
    const size_t n_needed = Calibration::samples_needed(budget);
    if (n_needed > Calibration::kSamplesMax) return decision;
    for (size_t i = 0; i < rungs.size(); ++i) {
        const Rung* known = find(rungs[i].label);
        if (known != nullptr && known->calibration.samples().size() >= n_needed) {
            const std::optional<double> max_risk = known->calibration.max_risk(budget);
            if (!max_risk || !(rungs[i].risk <= *max_risk)) continue;
            return {.rung = i,
                    .refusal = {},
                    .predicted_kl = known->calibration.predicted_kl(rungs[i].risk)};
        }
        const std::string_view refusal =
            known != nullptr && known->demoted ? kDemoted : kUncalibrated;
        if (rank(refusal) > rank(decision.refusal)) decision.refusal = refusal;
    }
    return decision;
}

bool Guard::learning(std::string_view label, const GuardBudget& budget) const {
    const size_t n_needed = Calibration::samples_needed(budget);
    if (n_needed > Calibration::kSamplesMax) return false;
    const Rung* known = find(label);
    if (known == nullptr) return rungs_.size() < kRungsMax;
    return known->calibration.samples().size() < samples_to_learn(n_needed) &&
           !known->calibration.max_risk(budget);
}

bool Guard::proving(std::string_view label) const {
    const Rung* known = find(label);
    return known != nullptr && known->served.size() < kProvingSamples;
}

void Guard::observe(std::string_view label, const GuardSample& sample) {
    Rung* known = rung(label);
    if (known == nullptr) return;
    Calibration& calibration = known->calibration;
    calibration.add(sample);
    const size_t n_needed = Calibration::samples_needed(budget_);
    if (calibration.samples().size() >= n_needed) known->demoted = false;
    if (!calibration.max_risk(budget_)) calibration.keep_newest(samples_to_learn(n_needed));
}

bool Guard::observe_served(std::string_view label, const GuardSample& sample,
                           const GuardBudget& budget) {
    Rung* known = rung(label);
    // A request that was served before the rung was demoted says nothing new.
    if (known == nullptr || known->demoted) return false;
    observe(label, sample);
    known->served.push_back({.over = !(sample.kl <= budget.max_kl),
                             .disagrees = !sample.same_first,
                             .disagreement_allowed = 1 - budget.min_agreement});
    if (known->served.size() > kServedMax) known->served.pop_front();
    if (!breaks_promise(known->served)) return false;
    known->calibration.clear();
    known->served.clear();
    known->demoted = true;
    ++known->n_demotions;
    return true;
}

bool Guard::breaks_promise(const std::deque<Served>& served) {
    size_t n = 0, n_over = 0, n_disagree = 0;
    double allowed = 0;
    for (auto one = served.rbegin(); one != served.rend(); ++one) {
        ++n;
        n_over += one->over;
        n_disagree += one->disagrees;
        allowed += one->disagreement_allowed;
        if (binomial_tail(n, n_over, 1 - kGuardCoverage) < kImprobable ||
            binomial_tail(n, n_disagree, allowed / static_cast<double>(n)) < kImprobable) {
            return true;
        }
    }
    return false;
}

std::vector<RungState> Guard::states() const {
    std::vector<RungState> states;
    for (const auto& [label, known] : rungs_) {
        states.push_back({.label = label,
                          .n_samples = known.calibration.samples().size(),
                          .max_risk = known.calibration.max_risk(budget_),
                          .demoted = known.demoted,
                          .n_demotions = known.n_demotions});
    }
    return states;
}

std::vector<RungRecord> Guard::records() const {
    std::vector<RungRecord> records;
    for (const auto& [label, known] : rungs_) {
        const std::deque<GuardSample>& samples = known.calibration.samples();
        if (samples.empty() && known.n_demotions == 0) continue;
        records.push_back({.label = label,
                           .samples = {samples.begin(), samples.end()},
                           .demoted = known.demoted,
                           .n_demotions = known.n_demotions});
    }
    return records;
}

void Guard::restore(const std::vector<RungRecord>& records) {
    for (const RungRecord& record : records) {
        Rung* known = rung(record.label);
        if (known == nullptr) return;
        known->calibration.assign(record.samples);
        known->demoted = record.demoted;
        known->n_demotions = record.n_demotions;
    }
}

}  // namespace spolia
