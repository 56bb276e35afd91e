#include "broker/guard/trial.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "broker/guard/region.h"

namespace spolia {
namespace {

using Draw = std::function<GuardSample(std::mt19937_64&)>;

GuardSample flawless(std::mt19937_64&) { return {.risk = 1, .doubt = 0.5}; }

Draw bad_share(double share) {
    return [share](std::mt19937_64& random) {
        const bool bad = std::uniform_real_distribution<>(0, 1)(random) < share;
        return GuardSample{.risk = 1, .doubt = 0.5, .kl = bad ? 1.0 : 0, .same_first = !bad};
    };
}

// Feeds a trial until it is proven, or up to n samples. Returns the samples it took, n + 1: never.
size_t samples_to_proof(Trial& trial, size_t n, const Draw& draw, std::mt19937_64& random) {
    std::vector<GuardSample> samples;
    while (!trial.proven() && samples.size() < n) {
        samples.push_back(draw(random));
        trial.add(samples);
    }
    return trial.proven() ? samples.size() : n + 1;
}

// The bet as its definition reads: the sum of stakes that win or lose one request at a time.
double naive_bet(double allowance, const std::vector<bool>& bad) {
    double all = 0.75, half = 0.25;
    for (const bool is_bad : bad) {
        all *= is_bad ? 0 : 1 + allowance / (1 - allowance);
        half *= is_bad ? 0.5 : 1 + 0.5 * allowance / (1 - allowance);
    }
    return all + half;
}

TEST(BetAgainst, AgreesWithBettingOneRequestAtATime) {
    std::mt19937_64 random(3);
    for (const double allowance : {0.001, 0.01, 0.3, 0.9}) {
        std::vector<bool> bad;
        size_t n_bad = 0;
        for (size_t n = 0; n < 300; ++n) {
            EXPECT_NEAR(bet_against(allowance, n, n_bad) / naive_bet(allowance, bad), 1, 1e-9);
            bad.push_back(random() % 40 == 0);
            n_bad += bad.back();
        }
    }
}

// What makes it a test: where the claim just holds, one more request leaves the bet as it is.
TEST(BetAgainst, CanNotBeExpectedToGrowWhereTheClaimHolds) {
    for (const double allowance : {0.01, 0.2}) {
        for (size_t n = 0; n < 50; ++n) {
            for (size_t n_bad = 0; n_bad <= n; ++n_bad) {
                const double next = allowance * bet_against(allowance, n + 1, n_bad + 1) +
                                    (1 - allowance) * bet_against(allowance, n + 1, n_bad);
                EXPECT_NEAR(next / bet_against(allowance, n, n_bad), 1, 1e-9);
            }
        }
    }
    EXPECT_EQ(bet_against(0, 1000, 0), 1) << "no number of good ones proves that none is bad";
    EXPECT_TRUE(std::isinf(bet_against(1, 0, 0)));
}

TEST(Trial, ProvesWhatIsNeverBadAfterAKnownNumberOfSamples) {
    std::mt19937_64 random(1);
    for (const GuardBudget budget :
         {GuardBudget{0.05, 0.99}, GuardBudget{0.05, 0.5}, GuardBudget{0.05, 0.997}}) {
        Trial trial(budget);
        const size_t n_needed = Trial::samples_needed(budget, 4000);
        EXPECT_EQ(samples_to_proof(trial, 4000, flawless, random), n_needed);
        EXPECT_EQ(trial.serves(), GuardRegion::everything());
    }
    EXPECT_EQ(Trial::samples_needed({0.05, 0.99}, 4000), 249u);
    EXPECT_EQ(Trial::samples_needed({0.05, 0.5}, 4000), 249u) << "the KL needs as many";
    EXPECT_GT(Trial::samples_needed({0.05, 1.0}, 4000), 4000u);
}

TEST(Trial, ProvesABrokenPromiseAsSeldomAsItSays) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto share_proven = [&](double bad) {
        int n_proven = 0;
        for (int round = 0; round < 400; ++round) {
            // No other region can be chosen: all samples look the same.
            Trial trial({0.05, 0.99});
            n_proven += samples_to_proof(trial, 900, bad_share(bad), random) <= 900;
        }
        return n_proven / 400.0;
    };
    // Several trials of the same region in a row, 0.1 and 0.007 each; chance moves 400 rounds by
    // 0.015 and 0.005.
    EXPECT_LT(share_proven(0.01), 0.2);
    EXPECT_LT(share_proven(0.02), 0.05);
    EXPECT_GT(share_proven(0.001), 0.7);
}

TEST(Trial, ServesTheRegionWhereNothingIsBad) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const Draw draw = [](std::mt19937_64& draw_random) {
        std::uniform_real_distribution<> unit(0, 1);
        GuardSample sample{.risk = unit(draw_random), .doubt = unit(draw_random)};
        sample.same_first = sample.doubt < 0.8 || unit(draw_random) < 0.7;
        sample.kl = sample.risk < 0.7 || unit(draw_random) < 0.7 ? 0 : 1;
        return sample;
    };
    Trial trial({0.05, 0.99});
    ASSERT_LE(samples_to_proof(trial, 3000, draw, random), 3000u);
    const GuardRegion serves = trial.serves();
    EXPECT_GT(serves.max_risk, 0.3);
    EXPECT_LT(serves.max_risk, 0.75);
    EXPECT_GT(serves.max_doubt, 0.3);
    EXPECT_LT(serves.max_doubt, 0.85);
}

TEST(Trial, GivesUpAProvenRegionThatHasTurnedBad) {
    std::mt19937_64 random(2);
    Trial trial({0.05, 0.99});
    std::vector<GuardSample> samples;
    const auto feed = [&](const GuardSample& sample) {
        samples.push_back(sample);
        trial.add(samples);
    };
    while (!trial.proven()) feed(flawless(random));
    for (int i = 0; i < 3; ++i) feed({.risk = 1, .doubt = 0.5, .kl = 1});
    EXPECT_TRUE(trial.proven()) << "three of 250 are no proof of the contrary";
    for (int i = 0; i < 3; ++i) feed({.risk = 1, .doubt = 0.5, .kl = 1});
    EXPECT_FALSE(trial.proven());
    EXPECT_TRUE(trial.serves().empty());
}

// Every pair of limits against every sample.
size_t naive_most(const std::vector<GuardSample>& samples, const GuardBudget& budget,
                  double share) {
    size_t most = 0;
    for (const GuardSample& risk : samples) {
        for (const GuardSample& doubt : samples) {
            double n = 0, over = 0, disagree = 0;
            for (const GuardSample& sample : samples) {
                if (sample.risk > risk.risk || sample.doubt > doubt.doubt) continue;
                n += 1;
                over += sample.kl > budget.max_kl;
                disagree += !sample.same_first;
            }
            if (over <= share * (1 - kGuardCoverage) * n &&
                disagree <= share * (1 - budget.min_agreement) * n) {
                most = std::max(most, static_cast<size_t>(n));
            }
        }
    }
    return most;
}

TEST(ChooseRegion, HoldsAsManySamplesAsTheNaiveReference) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<> unit(0, 1);
    int n_served = 0;
    for (int round = 0; round < 60; ++round) {
        std::vector<GuardSample> samples;
        const size_t n = 1 + random() % 120;
        for (size_t i = 0; i < n; ++i) {
            // Few distinct values, so that there are ties, and no more risks than are tried.
            const double risk = static_cast<double>(random() % 4);
            const double doubt = static_cast<double>(random() % 10) / 10;
            samples.push_back({.risk = risk,
                               .doubt = doubt,
                               .kl = unit(random) < 0.05 * risk ? 1.0 : 0,
                               .same_first = unit(random) >= 0.1 * doubt});
        }
        const GuardBudget budget{0.05, round % 2 == 0 ? 0.99 : 0.8};
        const GuardRegion region = choose_region(samples, budget, 0.5);
        size_t n_in = 0;
        for (const GuardSample& sample : samples) {
            n_in += region.contains(sample.risk, sample.doubt);
        }
        // Where a risk's quantile falls on another one, a limit may be missing.
        EXPECT_LE(n_in, naive_most(samples, budget, 0.5));
        EXPECT_GE(n_in, naive_most(samples, budget, 0.5) * 3 / 4);
        n_served += n_in > 0;
    }
    EXPECT_GT(n_served, 0);
    EXPECT_TRUE(choose_region({}, {}, 1).empty());
}

}  // namespace
}  // namespace spolia
