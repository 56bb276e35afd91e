#include "broker/guard/trial.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ranges>

#include "broker/guard/region.h"

namespace spolia {
namespace {

// Stakes of a bet on good requests, as shares of what one has: all of it wins soonest where nothing
// is bad, half of it survives what is.
struct Stake {
    double share;
    double weight;
};
constexpr Stake kStakes[] = {{1.0, 0.75}, {0.5, 0.25}};

constexpr double kProof = 10;
constexpr double kDisproof = 0.1;  // of what is proven
// A region is chosen so that less than its budget's share is bad, or its trial would fail too
// often; where that leaves nothing, with more of it.
constexpr double kCareful = 0.25;
constexpr double kDaring = 0.5;

// Samples to choose by: so many that one bad one would be the budget's share.
size_t samples_to_choose(const GuardBudget& budget) {
    const double share = std::min(1 - kGuardCoverage, 1 - budget.min_agreement);
    return share > 0 ? static_cast<size_t>(std::lround(std::min(1 / share, 1e6))) : 1'000'000;
}

}  // namespace

double bet_against(double allowance, size_t n, size_t n_bad) {
    if (allowance >= 1) return std::numeric_limits<double>::infinity();
    const auto n_good = static_cast<double>(n - n_bad);
    double bet = 0;
    for (const Stake& stake : kStakes) {
        bet += stake.weight * std::pow(1 + stake.share * allowance / (1 - allowance), n_good) *
               std::pow(1 - stake.share, static_cast<double>(n_bad));
    }
    return bet;
}

Trial::Trial(const GuardBudget& budget)
    : budget_(budget), n_until_choice_(samples_to_choose(budget)) {}

double Trial::smaller_bet() const {
    return std::min(bet_against(1 - kGuardCoverage, n_, n_over_),
                    bet_against(1 - budget_.min_agreement, n_, n_disagree_));
}

void Trial::add(std::span<const GuardSample> samples) {
    if (n_until_choice_ > 0) --n_until_choice_;
    const GuardSample& sample = samples.back();
    if (region_.contains(sample.risk, sample.doubt)) {
        ++n_;
        n_over_ += is_over(sample.kl, budget_);
        n_disagree_ += !sample.same_first;
    }
    const double bet = smaller_bet();
    if (proven_) {
        if (bet < kDisproof) try_another(samples);
    } else if (bet >= kProof) {
        proven_ = true;
    } else if ((bet < 1 || region_.empty()) && n_until_choice_ == 0) {
        try_another(samples);
    }
}

void Trial::try_another(std::span<const GuardSample> samples) {
    *this = Trial(GuardBudget(budget_));
    region_ = choose_region(samples, budget_, kCareful);
    if (region_.empty()) region_ = choose_region(samples, budget_, kDaring);
    if (!region_.empty()) n_until_choice_ = 0;
}

size_t Trial::samples_needed(const GuardBudget& budget, size_t most) {
    const double allowance = std::min(1 - kGuardCoverage, 1 - budget.min_agreement);
    const auto proves = [&](size_t n) { return bet_against(allowance, n, 0) >= kProof; };
    const auto numbers = std::views::iota(size_t{0}, most + 1);
    return static_cast<size_t>(
        std::ranges::partition_point(numbers, [&](size_t n) { return !proves(n); }) -
        numbers.begin());
}

}  // namespace spolia
