#include "broker/guard/guard.h"

#include <algorithm>
#include <cmath>
#include <utility>

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

// What time mends, first: it is what a user should hear of.
int rank(std::string_view refusal) {
    return refusal == kDemoted ? 2 : refusal == kUncalibrated ? 1 : 0;
}

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

Guard::Rung& Guard::rung(std::string_view label) {
    const auto found = rungs_.find(label);
    if (found != rungs_.end()) return found->second;
    if (rungs_.size() >= kRungsMax) forget_one();
    return rungs_[std::string(label)];
}

void Guard::forget_one() {
    const auto forgotten = std::ranges::min_element(rungs_, {}, [](const auto& entry) {
        return std::pair(entry.second.expected, entry.second.last_sample);
    });
    if (!forgotten->second.expected) rungs_.erase(forgotten);
}

const Guard::Rung* Guard::find(std::string_view label) const {
    const auto found = rungs_.find(label);
    return found == rungs_.end() ? nullptr : &found->second;
}

GuardDecision Guard::decide(std::span<const RungRisk> rungs, const GuardBudget& budget,
                            size_t first) const {
    GuardDecision decision{.rung = {}, .refusal = kOverBudget};
    const size_t n_needed = Calibration::samples_needed(budget);
    for (size_t i = first; i < rungs.size(); ++i) {
        if (i > 0 && budget != budget_) break;
        const Rung* known = find(rungs[i].label);
        if (known != nullptr) {
            const GuardRegion serves = known->calibration.trial(budget).serves();
            if (!known->demoted && rungs[i].risk <= serves.max_risk) {
                return {.rung = i,
                        .max_doubt = serves.max_doubt,
                        .refusal = {},
                        .predicted_kl = known->calibration.predicted_kl(rungs[i].risk)};
            }
        }
        const size_t n_samples = known == nullptr ? 0 : known->calibration.samples().size();
        if (n_needed > Calibration::kSamplesMax || n_samples >= n_needed) continue;
        const std::string_view refusal =
            known != nullptr && known->demoted ? kDemoted : kUncalibrated;
        if (rank(refusal) > rank(decision.refusal)) decision.refusal = refusal;
    }
    return decision;
}

bool Guard::learning(std::string_view label) const {
    if (Calibration::samples_needed(budget_) > Calibration::kSamplesMax) {
        return false;
    }
    const Rung* known = find(label);
    return known == nullptr || !known->calibration.trial(budget_).proven();
}

bool Guard::proving(std::string_view label) const {
    const Rung* known = find(label);
    return known != nullptr && known->served.size() < kProvingSamples;
}

GuardChange Guard::observe(std::string_view label, const GuardSample& sample) {
    Rung& known = rung(label);
    known.last_sample = ++n_samples_;
    const GuardRegion before = known.calibration.trial(budget_).serves();
    known.calibration.add(sample);
    const GuardRegion after = known.calibration.trial(budget_).serves();
    if (!after.empty()) known.demoted = false;
    if (after == before) return GuardChange::kNone;
    known.served.clear();
    return GuardChange::kServes;
}

GuardChange Guard::observe_served(std::string_view label, const GuardSample& sample,
                                  const GuardBudget& budget) {
    // A request that was served before the rung was demoted says nothing new.
    if (rung(label).demoted) return GuardChange::kNone;
    const GuardChange change = observe(label, sample);
    Rung& known = rung(label);
    std::erase_if(known.served, [&](const Served& other) { return other.prompt == sample.prompt; });
    known.served.push_back({.prompt = sample.prompt,
                            .over = is_over(sample.kl, budget),
                            .disagrees = !sample.same_first,
                            .disagreement_allowed = 1 - budget.min_agreement});
    if (known.served.size() > kServedMax) known.served.pop_front();
    if (!breaks_promise(known.served)) return change;
    restart(label);
    known.demoted = true;
    ++known.n_demotions;
    return GuardChange::kDemotion;
}

void Guard::restart(std::string_view label) {
    Rung& known = rung(label);
    known.calibration.clear();
    known.served.clear();
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
                          .serves = known.calibration.trial(budget_).serves(),
                          .demoted = known.demoted,
                          .n_demotions = known.n_demotions});
    }
    return states;
}

std::vector<RungRecord> Guard::records() const {
    std::vector<RungRecord> records;
    for (const auto& [label, known] : rungs_) {
        const std::vector<GuardSample>& samples = known.calibration.samples();
        if (samples.empty() && known.n_demotions == 0) continue;
        records.push_back({.label = label,
                           .samples = samples,
                           .demoted = known.demoted,
                           .n_demotions = known.n_demotions});
    }
    return records;
}

void Guard::restore(const std::vector<RungRecord>& records) {
    for (const RungRecord& record : records) {
        Rung& known = rung(record.label);
        known.calibration.assign(record.samples);
        known.demoted = record.demoted;
        known.n_demotions = record.n_demotions;
    }
}

}  // namespace spolia
