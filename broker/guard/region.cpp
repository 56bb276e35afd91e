#include "broker/guard/region.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace spolia {
namespace {

// Risks tried as a limit: quantiles of the samples', so that a choice takes the same time whatever
// the selector calls a risk.
constexpr size_t kRisksTried = 16;

std::vector<double> risk_limits(std::span<const GuardSample> samples) {
    std::vector<double> risks;
    for (const GuardSample& sample : samples) risks.push_back(sample.risk);
    std::ranges::sort(risks);
    std::vector<double> limits;
    for (size_t i = 1; i < kRisksTried; ++i) {
        const double limit = risks[risks.size() * i / kRisksTried];
        if (limits.empty() || limit > limits.back()) limits.push_back(limit);
    }
    limits.push_back(std::numeric_limits<double>::infinity());
    return limits;
}

}  // namespace

GuardRegion choose_region(std::span<const GuardSample> samples, const GuardBudget& budget,
                          double share) {
    GuardRegion best = GuardRegion::nothing();
    if (samples.empty()) return best;
    std::vector<GuardSample> by_doubt(samples.begin(), samples.end());
    std::ranges::sort(by_doubt, {}, &GuardSample::doubt);
    size_t n_best = 0;
    for (const double max_risk : risk_limits(samples)) {
        double n = 0, n_over = 0, n_disagree = 0;
        for (size_t i = 0; i < by_doubt.size(); ++i) {
            const GuardSample& sample = by_doubt[i];
            const bool inside = sample.risk <= max_risk;
            n += inside;
            n_over += inside && is_over(sample.kl, budget);
            n_disagree += inside && !sample.same_first;
            // All samples of one doubt are in or none.
            const bool last = i + 1 == by_doubt.size();
            if (!last && by_doubt[i + 1].doubt == sample.doubt) continue;
            if (n <= static_cast<double>(n_best) || n_over > share * (1 - kGuardCoverage) * n ||
                n_disagree > share * (1 - budget.min_agreement) * n) {
                continue;
            }
            n_best = static_cast<size_t>(n);
            best = {max_risk, last ? GuardRegion::everything().max_doubt : sample.doubt};
        }
    }
    return best;
}

}  // namespace spolia
