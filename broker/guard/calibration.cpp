#include "broker/guard/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace spolia {
namespace {

// Stands for what is not finite, which files and averages can't take.
constexpr double kLargest = 1e9;

double finite(double value) {
    return std::isnan(value) ? kLargest : std::clamp(value, 0.0, kLargest);
}

// (k + 1) / (n + 1) <= allowance, blind to the last bits of 1 - 0.99.
bool within(size_t k, size_t n, double allowance) {
    return static_cast<double>(k + 1) <= allowance * static_cast<double>(n + 1) * (1 + 1e-9);
}

}  // namespace

void Calibration::push(GuardSample sample) {
    sample.risk = finite(sample.risk);
    sample.kl = finite(sample.kl);
    std::erase_if(samples_, [&](const GuardSample& old) { return old.prompt == sample.prompt; });
    samples_.push_back(sample);
    if (samples_.size() > kSamplesMax) samples_.pop_front();
}

void Calibration::add(const GuardSample& sample) {
    push(sample);
    fit();
}

void Calibration::assign(const std::vector<GuardSample>& samples) {
    samples_.clear();
    for (const GuardSample& sample : samples) push(sample);
    fit();
}

void Calibration::keep_newest(size_t n) {
    if (samples_.size() <= n) return;
    samples_.erase(samples_.begin(), samples_.end() - static_cast<std::ptrdiff_t>(n));
    fit();
}

// Pool adjacent violators. Samples of equal risk are one run from the start: nothing tells them
// apart.
void Calibration::fit() {
    by_risk_.assign(samples_.begin(), samples_.end());
    std::ranges::sort(by_risk_, {}, &GuardSample::risk);
    levels_.clear();
    for (size_t i = 0; i < by_risk_.size();) {
        Level level{.risk = by_risk_[i].risk, .kl = 0, .n = 0};
        for (; i < by_risk_.size() && by_risk_[i].risk == level.risk; ++i) {
            level.kl += by_risk_[i].kl;
            ++level.n;
        }
        level.kl /= static_cast<double>(level.n);
        while (!levels_.empty() && levels_.back().kl >= level.kl) {
            const Level& before = levels_.back();
            const double n = static_cast<double>(before.n + level.n);
            level.kl = (before.kl * static_cast<double>(before.n) +
                        level.kl * static_cast<double>(level.n)) /
                       n;
            level.n += before.n;
            level.risk = before.risk;
            levels_.pop_back();
        }
        levels_.push_back(level);
    }
}

size_t Calibration::samples_needed(const GuardBudget& budget) {
    const double allowance = std::min(1 - kGuardCoverage, 1 - budget.min_agreement);
    if (!(allowance > 0)) return std::numeric_limits<size_t>::max();
    const double needed = std::ceil(1 / (allowance * (1 + 1e-9))) - 1;
    return needed < 1e15 ? static_cast<size_t>(needed) : std::numeric_limits<size_t>::max();
}

std::optional<double> Calibration::max_risk(const GuardBudget& budget) const {
    std::optional<double> largest;
    size_t n_over = 0, n_disagree = 0;
    for (size_t i = 0; i < by_risk_.size(); ++i) {
        n_over += by_risk_[i].kl > budget.max_kl;
        n_disagree += !by_risk_[i].same_first;
        // All samples of one risk are served or none.
        if (i + 1 < by_risk_.size() && by_risk_[i + 1].risk == by_risk_[i].risk) continue;
        if (within(n_over, i + 1, 1 - kGuardCoverage) &&
            within(n_disagree, i + 1, 1 - budget.min_agreement)) {
            largest = by_risk_[i].risk;
        }
    }
    return largest;
}

double Calibration::predicted_kl(double risk) const {
    if (levels_.empty()) return 0;
    const auto above = std::ranges::upper_bound(levels_, finite(risk), {}, &Level::risk);
    return above == levels_.begin() ? levels_.front().kl : std::prev(above)->kl;
}

}  // namespace spolia
