#include "broker/guard/calibration.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>

namespace spolia {
namespace {

// Stands for what is not finite, which files and averages can't take.
constexpr double kLargest = 1e9;
constexpr size_t kTrialsMax = 4;

double finite(double value) {
    return std::isnan(value) ? kLargest : std::clamp(value, 0.0, kLargest);
}

GuardSample finite(GuardSample sample) {
    sample.risk = finite(sample.risk);
    sample.doubt = finite(sample.doubt);
    sample.kl = finite(sample.kl);
    return sample;
}

}  // namespace

bool Calibration::add(const GuardSample& sample) {
    if (!prompts_.insert(sample.prompt).second) return false;
    if (samples_.size() >= kSamplesMax) {
        const auto newer = samples_.begin() + static_cast<std::ptrdiff_t>(kSamplesMax / 2);
        std::for_each(samples_.begin(), newer,
                      [&](const GuardSample& old) { prompts_.erase(old.prompt); });
        samples_.erase(samples_.begin(), newer);
    }
    samples_.push_back(finite(sample));
    for (Trial& trial : trials_) trial.add(samples_);
    fit();
    return true;
}

void Calibration::assign(const std::vector<GuardSample>& samples) {
    samples_.clear();
    prompts_.clear();
    trials_.clear();
    const size_t n_old = samples.size() > kSamplesMax ? samples.size() - kSamplesMax : 0;
    for (const GuardSample& sample : std::span(samples).subspan(n_old)) {
        if (prompts_.insert(sample.prompt).second) samples_.push_back(finite(sample));
    }
    fit();
}

const Trial& Calibration::trial(const GuardBudget& budget) const {
    const auto held = std::ranges::find(trials_, budget, &Trial::budget);
    if (held != trials_.end()) {
        trials_.splice(trials_.begin(), trials_, held);
        return trials_.front();
    }
    if (trials_.size() >= kTrialsMax) trials_.pop_back();
    Trial& trial = trials_.emplace_front(budget);
    for (size_t n = 1; n <= samples_.size(); ++n) trial.add(std::span(samples_).first(n));
    return trial;
}

// Pool adjacent violators. Samples of equal risk are one run from the start: nothing tells them
// apart.
void Calibration::fit() {
    std::vector<GuardSample> by_risk(samples_);
    std::ranges::sort(by_risk, {}, &GuardSample::risk);
    levels_.clear();
    for (size_t i = 0; i < by_risk.size();) {
        Level level{.risk = by_risk[i].risk, .kl = 0, .n = 0};
        for (; i < by_risk.size() && by_risk[i].risk == level.risk; ++i) {
            level.kl += by_risk[i].kl;
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

double Calibration::predicted_kl(double risk) const {
    if (levels_.empty()) return 0;
    const auto above = std::ranges::upper_bound(levels_, finite(risk), {}, &Level::risk);
    return above == levels_.begin() ? levels_.front().kl : std::prev(above)->kl;
}

}  // namespace spolia
