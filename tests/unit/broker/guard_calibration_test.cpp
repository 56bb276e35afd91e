#include "broker/guard/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace spolia {
namespace {

std::vector<GuardSample> random_samples(std::mt19937_64& random, size_t n) {
    std::vector<GuardSample> samples;
    std::uniform_real_distribution<> unit(0, 1);
    for (size_t i = 0; i < n; ++i) {
        // Few distinct risks, so that there are ties; KL grows with them, with exceptions.
        const double risk = static_cast<double>(random() % 20) / 10;
        samples.push_back({.risk = risk,
                           .kl = unit(random) < 0.01 * risk ? 1.0 : 0.02 * risk * unit(random),
                           .same_first = unit(random) >= 0.005 * risk,
                           .prompt = i});
    }
    return samples;
}

// Every threshold tried against every sample.
std::optional<double> naive_max_risk(const std::vector<GuardSample>& samples,
                                     const GuardBudget& budget) {
    std::optional<double> best;
    for (const GuardSample& threshold : samples) {
        double n = 0, over = 0, disagree = 0;
        for (const GuardSample& sample : samples) {
            if (sample.risk > threshold.risk) continue;
            n += 1;
            over += sample.kl > budget.max_kl;
            disagree += !sample.same_first;
        }
        const bool kept = (over + 1) / (n + 1) <= 1 - kGuardCoverage + 1e-12 &&
                          (disagree + 1) / (n + 1) <= 1 - budget.min_agreement + 1e-12;
        if (kept) best = std::max(best.value_or(threshold.risk), threshold.risk);
    }
    return best;
}

// The min-max formula of isotonic regression, over distinct risks.
double naive_kl(const std::vector<GuardSample>& samples, double risk) {
    std::vector<double> risks;
    for (const GuardSample& sample : samples) risks.push_back(sample.risk);
    std::ranges::sort(risks);
    const auto mean = [&](double low, double high) {
        double sum = 0, n = 0;
        for (const GuardSample& sample : samples) {
            if (sample.risk < low || sample.risk > high) continue;
            sum += sample.kl;
            n += 1;
        }
        return sum / n;
    };
    double at = risks.front();
    for (const double known : risks) {
        if (known <= risk) at = known;
    }
    double highest = 0;
    for (const double low : risks) {
        if (low > at) break;
        double lowest = std::numeric_limits<double>::infinity();
        for (const double high : risks) {
            if (high >= at) lowest = std::min(lowest, mean(low, high));
        }
        highest = std::max(highest, lowest);
    }
    return highest;
}

TEST(Calibration, AgreesWithTheNaiveReference) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    int n_served = 0;
    for (int round = 0; round < 40; ++round) {
        const std::vector<GuardSample> samples = random_samples(random, 1 + random() % 500);
        Calibration calibration;
        calibration.assign(samples);
        for (const GuardBudget budget : {GuardBudget{}, GuardBudget{0.01, 0.9},
                                         GuardBudget{0.5, 0.995}, GuardBudget{0.03, 0}}) {
            const std::optional<double> expected = naive_max_risk(samples, budget);
            EXPECT_EQ(calibration.max_risk(budget), expected);
            n_served += expected.has_value();
        }
        if (samples.size() > 120) continue;
        for (const double risk : {-1.0, 0.0, 0.55, 1.0, 1.9, 7.0}) {
            EXPECT_NEAR(calibration.predicted_kl(risk), naive_kl(samples, risk), 1e-12) << risk;
        }
    }
    EXPECT_GT(n_served, 0);
}

TEST(Calibration, PredictsMoreForMoreRisk) {
    std::mt19937_64 random(5);
    Calibration calibration;
    calibration.assign(random_samples(random, 300));
    double last = 0;
    for (double risk = 0; risk < 2; risk += 0.05) {
        EXPECT_GE(calibration.predicted_kl(risk), last);
        last = calibration.predicted_kl(risk);
    }
    EXPECT_GT(last, 0);
}

TEST(Calibration, ServesNothingWithoutEnoughSamples) {
    EXPECT_EQ(Calibration::samples_needed({}), 99u);
    EXPECT_EQ(Calibration::samples_needed({0.05, 0.999}), 999u);
    EXPECT_EQ(Calibration::samples_needed({0.05, 0.5}), 99u) << "the KL needs as many";
    EXPECT_GT(Calibration::samples_needed({0.05, 1.0}), Calibration::kSamplesMax);
    Calibration calibration;
    for (uint64_t i = 0; i < 99; ++i) {
        EXPECT_EQ(calibration.max_risk({}), std::nullopt) << i;
        calibration.add({.risk = 0.5, .kl = 0, .same_first = true, .prompt = i});
    }
    EXPECT_EQ(calibration.max_risk({}), 0.5);
}

TEST(Calibration, APromptAskedAgainCountsOnce) {
    Calibration calibration;
    for (int i = 0; i < 500; ++i) calibration.add({.risk = 1, .kl = 0.001 * i, .prompt = 7});
    ASSERT_EQ(calibration.samples().size(), 1u);
    EXPECT_EQ(calibration.samples().front().kl, 0.499) << "the latest";
    EXPECT_EQ(calibration.max_risk({}), std::nullopt);
}

TEST(Calibration, ForgetsTheOldest) {
    Calibration calibration;
    std::vector<GuardSample> samples;
    for (uint64_t i = 0; i < Calibration::kSamplesMax; ++i) {
        samples.push_back({.risk = 1, .kl = 1, .prompt = i});
    }
    calibration.assign(samples);
    EXPECT_EQ(calibration.max_risk({}), std::nullopt);
    for (auto& sample : samples) {
        sample.kl = 0;
        sample.prompt += Calibration::kSamplesMax;
    }
    samples.insert(samples.begin(), {.risk = 1, .kl = 1, .prompt = 1u << 30});
    calibration.assign(samples);
    EXPECT_EQ(calibration.samples().size(), Calibration::kSamplesMax);
    EXPECT_EQ(calibration.samples().front().kl, 0);
    EXPECT_EQ(calibration.max_risk({}), 1.0);
}

TEST(Calibration, WhatIsNotANumberIsBad) {
    Calibration calibration;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    for (uint64_t i = 0; i < 250; ++i) calibration.add({.risk = 0.1, .kl = 0, .prompt = i});
    calibration.add({.risk = nan, .kl = infinity, .prompt = 1000});
    calibration.add({.risk = 0.05, .kl = nan, .prompt = 1001});
    EXPECT_EQ(calibration.max_risk({}), 0.1);
    EXPECT_GT(calibration.predicted_kl(nan), 1e3);
    EXPECT_GT(calibration.predicted_kl(0.05), 1e3);
}

// The promise itself: calibrate on some requests, serve others of the same traffic.
TEST(Calibration, KeepsItsPromiseOnFreshRequests) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    double n_requests = 0, n_broken = 0, n_disagree = 0;
    for (int round = 0; round < 400; ++round) {
        Calibration calibration;
        calibration.assign(random_samples(random, 400));
        const double limit = calibration.max_risk({0.03, 0.99}).value_or(-1);
        for (const GuardSample& fresh : random_samples(random, 100)) {
            n_requests += 1;
            n_broken += fresh.risk <= limit && fresh.kl > 0.03;
            n_disagree += fresh.risk <= limit && !fresh.same_first;
        }
    }
    // 40,000 requests: chance alone moves the share by 0.0005.
    EXPECT_LE(n_broken / n_requests, 1 - kGuardCoverage + 0.003);
    EXPECT_LE(n_disagree / n_requests, 0.01 + 0.003);
}

}  // namespace
}  // namespace spolia
