#include "broker/guard/guard.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace spolia {
namespace {

constexpr GuardBudget kBudget{0.05, 0.99};

void teach(Guard& guard, std::string_view label, double risk, double kl, size_t n,
           uint64_t first_prompt = 0) {
    for (uint64_t i = 0; i < n; ++i) {
        guard.observe(label, {.risk = risk, .kl = kl, .prompt = first_prompt + i});
    }
}

TEST(BinomialTail, AddsUpTheChances) {
    EXPECT_DOUBLE_EQ(binomial_tail(3, 0, 0.5), 1);
    EXPECT_DOUBLE_EQ(binomial_tail(3, 1, 0.5), 7.0 / 8);
    EXPECT_DOUBLE_EQ(binomial_tail(3, 2, 0.5), 4.0 / 8);
    EXPECT_DOUBLE_EQ(binomial_tail(3, 3, 0.5), 1.0 / 8);
    EXPECT_NEAR(binomial_tail(100, 5, 0.01), 0.003432, 1e-6);
    EXPECT_DOUBLE_EQ(binomial_tail(5, 1, 0), 0);
    EXPECT_DOUBLE_EQ(binomial_tail(5, 5, 1), 1);
    EXPECT_DOUBLE_EQ(binomial_tail(0, 0, 0.3), 1);
}

TEST(Guard, ServesTheCheapestRungThatIsGoodEnough) {
    Guard guard(kBudget);
    teach(guard, "cheap", 0.2, 0.01, 200);
    teach(guard, "cheap", 0.9, 0.5, 200, 1000);
    teach(guard, "dear", 0.9, 0.02, 200);
    const GuardDecision low =
        guard.decide(std::vector<RungRisk>{{"cheap", 0.1}, {"dear", 0.1}}, kBudget);
    EXPECT_EQ(low.rung, 0u);
    EXPECT_DOUBLE_EQ(low.predicted_kl, 0.01);
    const GuardDecision high =
        guard.decide(std::vector<RungRisk>{{"cheap", 0.8}, {"dear", 0.8}}, kBudget);
    EXPECT_EQ(high.rung, 1u);
    EXPECT_DOUBLE_EQ(high.predicted_kl, 0.02);
    const GuardDecision beyond =
        guard.decide(std::vector<RungRisk>{{"cheap", 1.5}, {"dear", 1.5}}, kBudget);
    EXPECT_EQ(beyond.rung, std::nullopt);
    EXPECT_EQ(beyond.refusal, kOverBudget);
}

TEST(Guard, LooksUpEachBudgetAgainstTheSameSamples) {
    Guard guard(kBudget);
    teach(guard, "rung", 0.5, 0.03, 150);
    const std::vector<RungRisk> rungs = {{"rung", 0.5}};
    EXPECT_EQ(guard.decide(rungs, kBudget).rung, 0u);
    EXPECT_EQ(guard.decide(rungs, {0.01, 0.99}).refusal, kOverBudget);
    EXPECT_EQ(guard.decide(rungs, {0.05, 0.999}).refusal, kUncalibrated) << "needs 999 samples";
    EXPECT_EQ(guard.decide(rungs, {0.05, 1}).refusal, kOverBudget) << "no samples are enough";
    EXPECT_EQ(guard.decide(std::vector<RungRisk>{{"other", 0}}, kBudget).refusal, kUncalibrated);
}

TEST(Guard, DemotesARungThatBreaksItsPromiseAndLetsItRecover) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 0, 250);
    const std::vector<RungRisk> rungs = {{"rung", 1}};
    int n_bad = 0;
    for (uint64_t i = 0; guard.decide(rungs, kBudget).rung; ++i) {
        const GuardSample bad{.risk = 1, .kl = 3, .same_first = false, .prompt = 5000 + i};
        const bool demoted = guard.observe_served("rung", bad, kBudget);
        ++n_bad;
        ASSERT_LE(n_bad, 2) << "two of two over the budget are no accident";
        EXPECT_EQ(demoted, n_bad == 2);
    }
    EXPECT_EQ(guard.decide(rungs, kBudget).refusal, kDemoted);
    EXPECT_EQ(guard.states()[0].n_demotions, 1u);
    EXPECT_EQ(guard.states()[0].n_samples, 0u);
    // A request that was under way when it happened.
    EXPECT_FALSE(guard.observe_served("rung", {.risk = 1, .kl = 3}, kBudget));
    EXPECT_EQ(guard.states()[0].n_samples, 0u);

    teach(guard, "rung", 1, 0, 98);
    EXPECT_EQ(guard.decide(rungs, kBudget).refusal, kDemoted);
    teach(guard, "rung", 1, 0, 1, 98);
    EXPECT_EQ(guard.decide(rungs, kBudget).rung, 0u);
    EXPECT_FALSE(guard.states()[0].demoted);
    EXPECT_TRUE(guard.proving("rung"));
}

TEST(Guard, DoesNotDemoteForWhatTheBudgetAllows) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 0, 1000);
    // One in a hundred, evenly: just what is allowed.
    for (uint64_t i = 0; i < 1000; ++i) {
        const bool bad = i % 100 == 50;
        ASSERT_FALSE(guard.observe_served(
            "rung", {.risk = 1, .kl = bad ? 1.0 : 0, .same_first = !bad, .prompt = 9000 + i},
            kBudget))
            << i;
    }
    EXPECT_FALSE(guard.proving("rung"));
}

TEST(Guard, JudgesEachServedRequestByItsOwnBudget) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 0, 500);
    for (uint64_t i = 0; i < 100; ++i) {
        ASSERT_FALSE(
            guard.observe_served("rung", {.risk = 1, .kl = 0.3, .prompt = 9000 + i}, {0.5, 0.9}));
    }
    EXPECT_TRUE(guard.observe_served("rung", {.risk = 1, .kl = 0.3, .prompt = 1}, {0.1, 0.9}) ||
                guard.observe_served("rung", {.risk = 1, .kl = 0.3, .prompt = 2}, {0.1, 0.9}) ||
                guard.observe_served("rung", {.risk = 1, .kl = 0.3, .prompt = 3}, {0.1, 0.9}) ||
                guard.observe_served("rung", {.risk = 1, .kl = 0.3, .prompt = 4}, {0.1, 0.9}) ||
                guard.observe_served("rung", {.risk = 1, .kl = 0.3, .prompt = 5}, {0.1, 0.9}) ||
                guard.observe_served("rung", {.risk = 1, .kl = 0.3, .prompt = 6}, {0.1, 0.9}));
}

TEST(Guard, TracksABoundedNumberOfRungs) {
    Guard guard(kBudget);
    guard.expect("configured");
    for (size_t i = 0; i < 3 * Guard::kRungsMax; ++i) {
        teach(guard, "client " + std::to_string(i), 1, 0, 1);
    }
    EXPECT_EQ(guard.states().size(), Guard::kRungsMax);
    EXPECT_TRUE(guard.learning("configured", kBudget));
    EXPECT_FALSE(guard.learning("one more", kBudget));
    teach(guard, "configured", 1, 0, 120);
    EXPECT_EQ(guard.decide(std::vector<RungRisk>{{"configured", 1}}, kBudget).rung, 0u);
}

TEST(Guard, StopsLearningWhatDoesNotHelp) {
    Guard guard(kBudget);
    EXPECT_TRUE(guard.learning("rung", kBudget));
    teach(guard, "rung", 1, 2, 299);
    EXPECT_TRUE(guard.learning("rung", kBudget));
    teach(guard, "rung", 1, 2, 1, 299);
    EXPECT_FALSE(guard.learning("rung", kBudget));
    EXPECT_TRUE(guard.learning("rung", {0.05, 0.999})) << "needs 999 samples before it can serve";
    EXPECT_FALSE(guard.learning("rung", {0.05, 1}));
}

TEST(Guard, OneBadAnswerEndsWhatFewSamplesAllowed) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 0, 120);
    const std::vector<RungRisk> rungs = {{"rung", 1}};
    ASSERT_EQ(guard.decide(rungs, kBudget).rung, 0u);
    EXPECT_FALSE(guard.observe_served("rung", {.risk = 1, .kl = 1, .prompt = 900}, kBudget));
    EXPECT_EQ(guard.decide(rungs, kBudget).refusal, kOverBudget);
    teach(guard, "rung", 1, 0, 78, 1000);
    EXPECT_EQ(guard.decide(rungs, kBudget).rung, 0u) << "one of 199";
}

TEST(Guard, ForgetsABadTimeWhileItServesNothing) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 2, 1000);
    const std::vector<RungRisk> rungs = {{"rung", 1}};
    uint64_t n_good = 0;
    while (!guard.decide(rungs, kBudget).rung) {
        teach(guard, "rung", 1, 0, 1, 5000 + n_good);
        ASSERT_LE(++n_good, 300u);
    }
    EXPECT_GE(n_good, 290u);
}

TEST(Guard, ARestoredGuardDecidesTheSame) {
    Guard guard(kBudget);
    teach(guard, "good", 0.5, 0.01, 120);
    teach(guard, "bad", 0.5, 0, 120);
    for (uint64_t i = 0; i < 5; ++i) {
        guard.observe_served("bad", {.risk = 0.5, .kl = 9, .prompt = 500 + i}, kBudget);
    }
    Guard restored(kBudget);
    restored.restore(guard.records());
    for (const Guard* one : {&guard, &restored}) {
        EXPECT_EQ(one->decide(std::vector<RungRisk>{{"good", 0.5}}, kBudget).rung, 0u);
        EXPECT_EQ(one->decide(std::vector<RungRisk>{{"bad", 0.5}}, kBudget).refusal, kDemoted);
        EXPECT_EQ(one->states()[0].n_demotions, 1u);
    }
    EXPECT_TRUE(restored.proving("good")) << "nothing is taken on trust";
}

}  // namespace
}  // namespace spolia
