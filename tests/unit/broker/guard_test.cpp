#include "broker/guard/guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

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

// Samples that prove a flawless rung under the default budget.
const size_t kEnough = Calibration::samples_needed(kBudget);

std::vector<RungRisk> rungs_at(double risk) { return {{"cheap", risk}, {"dear", risk}}; }

TEST(Guard, ServesTheCheapestRungThatIsGoodEnough) {
    Guard guard(kBudget);
    teach(guard, "cheap", 0.9, 0.5, 150, 10'000);
    teach(guard, "cheap", 0.2, 0.01, 2 * kEnough);
    teach(guard, "dear", 0.9, 0.02, kEnough);
    const GuardDecision low = guard.decide(rungs_at(0.1), kBudget);
    EXPECT_EQ(low.rung, 0u);
    EXPECT_NEAR(low.predicted_kl, 0.01, 1e-9);
    const GuardDecision high = guard.decide(rungs_at(0.8), kBudget);
    EXPECT_EQ(high.rung, 1u);
    EXPECT_NEAR(high.predicted_kl, 0.02, 1e-9);
}

TEST(Guard, TellsHowMuchDoubtARungMayServe) {
    Guard guard(kBudget);
    for (uint64_t i = 0; i < 1000; ++i) {
        const double doubt = static_cast<double>(i % 10) / 10;
        guard.observe("cheap",
                      {.risk = 0.5, .doubt = doubt, .same_first = doubt < 0.8, .prompt = i});
    }
    const GuardDecision decision = guard.decide(rungs_at(0.5), kBudget);
    ASSERT_EQ(decision.rung, 0u);
    EXPECT_DOUBLE_EQ(decision.max_doubt, 0.7);
}

TEST(Guard, SaysWhyNoRungMayServe) {
    Guard guard(kBudget);
    EXPECT_EQ(guard.decide(rungs_at(0), kBudget).refusal, kUncalibrated);
    teach(guard, "cheap", 0.5, 0.03, kEnough - 1);
    teach(guard, "dear", 0.5, 2, kEnough - 1);
    EXPECT_EQ(guard.decide(rungs_at(0.5), kBudget).refusal, kUncalibrated);
    EXPECT_EQ(guard.decide(rungs_at(0.5), {0.05, 1}).refusal, kOverBudget) << "never enough";
    teach(guard, "cheap", 0.5, 2, 10, 1000);
    teach(guard, "dear", 0.5, 2, 10, 1000);
    EXPECT_EQ(guard.decide(rungs_at(0.5), kBudget).refusal, kOverBudget);
    EXPECT_EQ(guard.decide(rungs_at(0.5), {0.05, 0.997}).refusal, kUncalibrated);
}

TEST(Guard, LooksUpEachBudgetAgainstTheSameSamples) {
    Guard guard(kBudget);
    teach(guard, "cheap", 0.5, 0.03, 300);
    teach(guard, "dear", 0.5, 0.001, 300);
    EXPECT_EQ(guard.decide(rungs_at(0.5), kBudget).rung, 0u);
    EXPECT_EQ(guard.decide(rungs_at(0.5), {0.04, 0.98}).rung, 0u);
    EXPECT_EQ(guard.decide(rungs_at(0.5), {0.01, 0.99}).rung, std::nullopt)
        << "what reaches the dear one under this budget is not known";
    EXPECT_EQ(guard.decide(rungs_at(0.5), kBudget, 1).rung, 1u);
    EXPECT_EQ(guard.decide(rungs_at(0.5), kBudget).rung, 0u);
}

TEST(Guard, DemotesARungThatBreaksItsPromiseAndLetsItRecover) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 0, kEnough + 1);
    const std::vector<RungRisk> rungs = {{"rung", 1}};
    int n_bad = 0;
    for (uint64_t i = 0; guard.decide(rungs, kBudget).rung; ++i) {
        const GuardSample bad{.risk = 1, .kl = 3, .same_first = false, .prompt = 5000 + i};
        const GuardChange change = guard.observe_served("rung", bad, kBudget);
        ++n_bad;
        ASSERT_LE(n_bad, 2) << "two of two over the budget are no accident";
        EXPECT_EQ(change, n_bad == 2 ? GuardChange::kDemotion : GuardChange::kNone);
    }
    EXPECT_EQ(guard.decide(rungs, kBudget).refusal, kDemoted);
    EXPECT_EQ(guard.states()[0].n_demotions, 1u);
    EXPECT_EQ(guard.states()[0].n_samples, 0u);
    // A request that was under way when it happened.
    EXPECT_EQ(guard.observe_served("rung", {.risk = 1, .kl = 3}, kBudget), GuardChange::kNone);
    EXPECT_EQ(guard.states()[0].n_samples, 0u);

    teach(guard, "rung", 1, 0, kEnough - 1);
    EXPECT_EQ(guard.decide(rungs, kBudget).refusal, kDemoted);
    EXPECT_EQ(guard.observe("rung", {.risk = 1, .prompt = 4000}), GuardChange::kServes);
    EXPECT_EQ(guard.decide(rungs, kBudget).rung, 0u);
    EXPECT_FALSE(guard.states()[0].demoted);
    EXPECT_TRUE(guard.proving("rung"));
}

TEST(Guard, ADemotedRungServesNoOtherBudget) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 0, kEnough);
    for (uint64_t i = 0; i < 2; ++i) {
        guard.observe_served("rung", {.risk = 1, .kl = 3, .prompt = 5000 + i}, kBudget);
    }
    teach(guard, "rung", 1, 0.1, 2 * kEnough);
    const GuardDecision loose = guard.decide(std::vector<RungRisk>{{"rung", 1}}, {0.5, 0.9});
    EXPECT_EQ(loose.rung, std::nullopt) << "nobody watches it there";
}

TEST(Guard, OnePromptThatIsAskedAgainAndAgainDemotesNothing) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 0, kEnough);
    for (int i = 0; i < 50; ++i) {
        ASSERT_NE(guard.observe_served("rung", {.risk = 1, .kl = 3, .prompt = 5000}, kBudget),
                  GuardChange::kDemotion);
    }
    EXPECT_EQ(guard.observe_served("rung", {.risk = 1, .kl = 3, .prompt = 5001}, kBudget),
              GuardChange::kDemotion);
}

TEST(Guard, DoesNotDemoteForWhatTheBudgetAllows) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 0, 1000);
    // One in a hundred, evenly: just what is allowed.
    for (uint64_t i = 0; i < 1000; ++i) {
        const bool bad = i % 100 == 50;
        ASSERT_EQ(
            guard.observe_served(
                "rung", {.risk = 1, .kl = bad ? 1.0 : 0, .same_first = !bad, .prompt = 9000 + i},
                kBudget),
            GuardChange::kNone)
            << i;
    }
    EXPECT_FALSE(guard.proving("rung"));
}

TEST(Guard, JudgesEachServedRequestByItsOwnBudget) {
    Guard guard(kBudget);
    teach(guard, "rung", 1, 0, 500);
    const auto serve = [&](uint64_t prompt, const GuardBudget& budget) {
        return guard.observe_served("rung", {.risk = 1, .kl = 0.3, .prompt = prompt}, budget);
    };
    for (uint64_t i = 0; i < 100; ++i) {
        ASSERT_NE(serve(9000 + i, {0.5, 0.9}), GuardChange::kDemotion);
    }
    uint64_t n = 0;
    while (serve(n, {0.1, 0.9}) != GuardChange::kDemotion) ASSERT_LE(++n, 6u);
}

TEST(Guard, AClientsBudgetDoesNotKeepARungLearning) {
    Guard guard(kBudget);
    EXPECT_TRUE(guard.learning("cheap"));
    teach(guard, "cheap", 0.5, 0.03, kEnough);
    EXPECT_FALSE(guard.learning("cheap"));
    EXPECT_EQ(guard.decide(rungs_at(0.5), {0.0001, 0.99}).rung, std::nullopt);
    EXPECT_FALSE(guard.learning("cheap"));
    EXPECT_FALSE(Guard({0.05, 1}).learning("cheap")) << "nothing can be proven";
}

TEST(Guard, TracksABoundedNumberOfRungsAndForgetsTheOneLeftAloneForLongest) {
    Guard guard(kBudget);
    guard.expect("configured");
    teach(guard, "configured", 1, 0, kEnough);
    const auto client = [](size_t i) { return "client " + std::to_string(i); };
    const size_t n_clients = Guard::kRungsMax - 1;
    for (size_t i = 0; i < n_clients; ++i) teach(guard, client(i), 1, 0, 5);
    teach(guard, client(0), 1, 0, 1, 100);
    teach(guard, "one more", 1, 0, 1);
    EXPECT_EQ(guard.states().size(), Guard::kRungsMax);
    const auto known = [&](const std::string& label) {
        return std::ranges::count(guard.states(), label, &RungState::label);
    };
    EXPECT_EQ(known(client(0)), 1);
    EXPECT_EQ(known(client(1)), 0);
    EXPECT_EQ(known(client(2)), 1);
    EXPECT_EQ(guard.decide(std::vector<RungRisk>{{"configured", 1}}, kBudget).rung, 0u);
}

TEST(Guard, TellsWhenARungServesOtherRequestsThanBefore) {
    Guard guard(kBudget);
    for (uint64_t i = 1; i < kEnough; ++i) {
        ASSERT_EQ(guard.observe("rung", {.risk = 1, .prompt = i}), GuardChange::kNone);
    }
    EXPECT_EQ(guard.observe("rung", {.risk = 1, .prompt = 0}), GuardChange::kServes);
    EXPECT_EQ(guard.observe("rung", {.risk = 1, .prompt = 5000}), GuardChange::kNone);
    guard.restart("rung");
    EXPECT_EQ(guard.states()[0].n_samples, 0u);
    EXPECT_EQ(guard.decide(std::vector<RungRisk>{{"rung", 1}}, kBudget).refusal, kUncalibrated);
}

TEST(Guard, ARestoredGuardDecidesTheSame) {
    Guard guard(kBudget);
    teach(guard, "good", 0.5, 0.01, kEnough);
    teach(guard, "bad", 0.5, 0, kEnough);
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
