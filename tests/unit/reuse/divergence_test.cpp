#include "reuse/divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace spolia {
namespace {

// By the book, in extended precision: fit for logits that don't overflow it.
double naive_kl(const std::vector<float>& p_logits, const std::vector<float>& q_logits) {
    long double p_sum = 0, q_sum = 0;
    for (const float logit : p_logits) p_sum += std::exp(static_cast<long double>(logit));
    for (const float logit : q_logits) q_sum += std::exp(static_cast<long double>(logit));
    long double kl = 0;
    for (size_t i = 0; i < p_logits.size(); ++i) {
        const long double p = std::exp(static_cast<long double>(p_logits[i])) / p_sum;
        const long double q = std::exp(static_cast<long double>(q_logits[i])) / q_sum;
        kl += p * std::log(p / q);
    }
    return static_cast<double>(kl);
}

TEST(KlDivergence, EqualsTheNaiveSum) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (const float width : {0.01f, 1.0f, 10.0f}) {
        std::normal_distribution<float> logit(0, width);
        for (int round = 0; round < 20; ++round) {
            std::vector<float> p(1 + random() % 500), q(p.size());
            for (float& value : p) value = logit(random);
            for (float& value : q) value = logit(random);
            const double expected = naive_kl(p, q);
            EXPECT_NEAR(kl_divergence(p, q), expected, 1e-9 * (1 + expected));
        }
    }
}

TEST(KlDivergence, OfEqualRowsIsZeroAndNeverLess) {
    std::mt19937 random(3);
    std::normal_distribution<float> logit(50, 20);
    std::vector<float> p(300);
    for (float& value : p) value = logit(random);
    std::vector<float> shifted = p;
    for (float& value : shifted) value += 64;
    EXPECT_EQ(kl_divergence(p, p), 0);
    EXPECT_GE(kl_divergence(p, shifted), 0);
    EXPECT_NEAR(kl_divergence(p, shifted), 0, 1e-6);
}

TEST(KlDivergence, OfTokensThatCanNotComeIsToldApart) {
    const float never = -std::numeric_limits<float>::infinity();
    const std::vector<float> both = {0, 0}, first = {0, never};
    EXPECT_NEAR(kl_divergence(first, both), std::log(2.0), 1e-12);
    EXPECT_EQ(kl_divergence(both, first), std::numeric_limits<double>::infinity());
    const std::vector<float> broken = {0, std::numeric_limits<float>::quiet_NaN()};
    EXPECT_EQ(kl_divergence(both, broken), std::numeric_limits<double>::infinity());
    EXPECT_EQ(kl_divergence(broken, both), std::numeric_limits<double>::infinity());
}

TEST(TopToken, IsTheFirstOfTheLargest) {
    EXPECT_EQ(top_token(std::vector<float>{-3, 2, 2, 1}), 1);
    EXPECT_EQ(top_token(std::vector<float>{-3}), 0);
}

TEST(Doubt, IsSmallWhereOneTokenStandsOut) {
    EXPECT_NEAR(doubt(std::vector<float>{0, 0, 0, 0}), 1, 1e-12);
    EXPECT_NEAR(doubt(std::vector<float>{5, 40, 5}), 0, 1e-12);
    const float third = std::log(1.0f / 3), sixth = std::log(1.0f / 6), half = std::log(0.5f);
    EXPECT_NEAR(doubt(std::vector<float>{sixth, third, half}), 1 - (1.0 / 2 - 1.0 / 3), 1e-6);
    EXPECT_NEAR(doubt(std::vector<float>{half + 80, third + 80, sixth + 80}),
                1 - (1.0 / 2 - 1.0 / 3), 1e-5);
    EXPECT_NEAR(doubt(std::vector<float>{3}), 0, 1e-12);
    EXPECT_EQ(doubt(std::vector<float>{0, std::numeric_limits<float>::quiet_NaN()}), 1);
    EXPECT_EQ(doubt(std::vector<float>{0, std::numeric_limits<float>::infinity()}), 1);
}

}  // namespace
}  // namespace spolia
