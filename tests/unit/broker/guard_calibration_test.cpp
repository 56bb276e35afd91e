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
                           .doubt = unit(random),
                           .kl = unit(random) < 0.01 * risk ? 1.0 : 0.02 * risk * unit(random),
                           .same_first = unit(random) >= 0.005 * risk,
                           .prompt = i});
    }
    return samples;
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

TEST(Calibration, PredictsAsTheNaiveReference) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int round = 0; round < 40; ++round) {
        const std::vector<GuardSample> samples = random_samples(random, 1 + random() % 120);
        Calibration calibration;
        calibration.assign(samples);
        for (const double risk : {-1.0, 0.0, 0.55, 1.0, 1.9, 7.0}) {
            EXPECT_NEAR(calibration.predicted_kl(risk), naive_kl(samples, risk), 1e-12) << risk;
        }
    }
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

TEST(Calibration, HoldsTrialsAsIfTheyHadRunAlong) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const std::vector<GuardSample> samples = random_samples(random, 1500);
    const std::vector<GuardBudget> budgets = {{0.05, 0.99}, {0.01, 0.9}, {0.5, 0.995},
                                              {0.03, 0},    {0.2, 0.98}, {2, 0.97}};
    Calibration calibration;
    std::vector<Trial> trials(budgets.begin(), budgets.end());
    std::vector<GuardSample> so_far;
    int n_serving = 0;
    for (const GuardSample& sample : samples) {
        calibration.add(sample);
        so_far.push_back(sample);
        for (Trial& trial : trials) trial.add(so_far);
        const Trial& one = trials[random() % trials.size()];
        ASSERT_EQ(calibration.trial(one.budget()).serves(), one.serves()) << so_far.size();
        n_serving += one.proven();
    }
    EXPECT_GT(n_serving, 0);
    Calibration restored;
    restored.assign(calibration.samples());
    for (const Trial& one : trials) {
        EXPECT_EQ(restored.trial(one.budget()).serves(), one.serves());
    }
}

TEST(Calibration, APromptAskedAgainCountsOnce) {
    Calibration calibration;
    EXPECT_TRUE(calibration.add({.risk = 1, .kl = 0.5, .prompt = 7}));
    for (int i = 0; i < 500; ++i) EXPECT_FALSE(calibration.add({.risk = 1, .prompt = 7}));
    ASSERT_EQ(calibration.samples().size(), 1u);
    EXPECT_EQ(calibration.samples().front().kl, 0.5);
    EXPECT_FALSE(calibration.trial({}).proven());
}

TEST(Calibration, ForgetsTheOlderHalfWhereThereAreTooMany) {
    Calibration calibration;
    constexpr uint64_t kMax = Calibration::kSamplesMax;
    for (uint64_t i = 0; i < kMax; ++i) calibration.add({.risk = 1, .kl = 1, .prompt = i});
    EXPECT_EQ(calibration.samples().size(), kMax);
    EXPECT_FALSE(calibration.trial({}).proven());
    EXPECT_TRUE(calibration.add({.risk = 1, .prompt = kMax}));
    EXPECT_EQ(calibration.samples().size(), kMax / 2 + 1);
    EXPECT_EQ(calibration.samples().front().prompt, kMax / 2);
    EXPECT_FALSE(calibration.add({.risk = 1, .prompt = kMax})) << "known";
    EXPECT_TRUE(calibration.add({.risk = 1, .prompt = 0})) << "forgotten";
}

TEST(Calibration, WhatIsNotANumberIsBad) {
    Calibration calibration;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    for (uint64_t i = 0; i < 300; ++i) calibration.add({.risk = 0.1, .doubt = 0.1, .prompt = i});
    ASSERT_TRUE(calibration.trial({}).proven());
    for (uint64_t i = 0; i < 10; ++i) {
        calibration.add({.risk = 0.1, .doubt = 0.1, .kl = nan, .prompt = 1000 + i});
    }
    calibration.add({.risk = nan, .doubt = nan, .kl = infinity, .prompt = 2000});
    EXPECT_FALSE(calibration.trial({}).proven());
    EXPECT_GT(calibration.predicted_kl(nan), 1e3);
    EXPECT_GT(calibration.predicted_kl(0.1), 1e3);
}

// The promise itself: calibrate on some requests, serve others of the same traffic.
TEST(Calibration, KeepsItsPromiseOnFreshRequests) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const GuardBudget budget{0.03, 0.99};
    double n_served = 0, n_over = 0, n_disagree = 0;
    for (int round = 0; round < 60; ++round) {
        Calibration calibration;
        calibration.assign(random_samples(random, 1000));
        const GuardRegion serves = calibration.trial(budget).serves();
        for (const GuardSample& fresh : random_samples(random, 1000)) {
            if (!serves.contains(fresh.risk, fresh.doubt)) continue;
            n_served += 1;
            n_over += fresh.kl > budget.max_kl;
            n_disagree += !fresh.same_first;
        }
    }
    EXPECT_GT(n_served, 1000) << "something can be served";
    // One proof in ten may be of a broken promise, by as little as that takes.
    EXPECT_LE(n_over / n_served, 0.01);
    EXPECT_LE(n_disagree / n_served, 0.01);
}

}  // namespace
}  // namespace spolia
