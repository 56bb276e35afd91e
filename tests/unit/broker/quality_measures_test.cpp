#include "broker/quality/measures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace spolia {
namespace {

TEST(QualityMeasures, AgreementCountsTokensBeforeTheFirstDifference) {
    const std::vector<Token> dense = {5, 6, 7, 8};
    const auto expect = [&](std::vector<Token> tokens, double share, bool equal) {
        const Agreement result = agreement(dense, tokens);
        EXPECT_DOUBLE_EQ(result.share, share);
        EXPECT_EQ(result.equal, equal);
    };
    expect({5, 6, 7, 8}, 1, true);
    expect({5, 6, 9, 8}, 0.5, false);
    expect({9, 6, 7, 8}, 0, false);
    expect({5, 6, 7}, 0.75, false);
    expect({5, 6, 7, 8, 9}, 1, false);
    expect({}, 0, false);
}

TEST(QualityMeasures, AgreementEqualsANaiveCount) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 200; ++round) {
        std::vector<Token> dense(1 + random() % 8), other(1 + random() % 8);
        for (Token& token : dense) token = random() % 2;
        for (Token& token : other) token = random() % 2;
        int n_same = 0;
        for (size_t i = 0; i < std::min(dense.size(), other.size()); ++i) {
            if (dense[i] != other[i]) break;
            ++n_same;
        }
        const Agreement result = agreement(dense, other);
        EXPECT_DOUBLE_EQ(result.share,
                         static_cast<double>(n_same) / static_cast<double>(dense.size()));
        EXPECT_EQ(result.equal, dense == other);
    }
}

TEST(QualityMeasures, PercentileIsTheNearestRank) {
    std::vector<double> values(100);
    for (int i = 0; i < 100; ++i) values[i] = (i * 37) % 100 + 1;  // 1 .. 100, shuffled
    EXPECT_EQ(percentile(values, 0.99), 99);
    EXPECT_EQ(percentile(values, 0.5), 50);
    EXPECT_EQ(percentile(values, 1), 100);
    EXPECT_EQ(percentile(values, 1e-9), 1);
    EXPECT_EQ(percentile({7}, 0.99), 7);
    EXPECT_EQ(percentile({}, 0.99), 0);
}

TEST(QualityMeasures, PercentileIsTheLeastThatEnoughValuesDoNotExceed) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 200; ++round) {
        std::vector<double> values(1 + random() % 40);
        for (double& value : values) value = static_cast<double>(random() % 20);
        const size_t hundredths = 1 + random() % 100;
        std::vector<double> sorted = values;
        std::ranges::sort(sorted);
        const auto enough = [&](double bound) {
            const auto n = static_cast<size_t>(
                std::ranges::count_if(values, [&](double value) { return value <= bound; }));
            return 100 * n >= hundredths * values.size();
        };
        EXPECT_EQ(percentile(values, static_cast<double>(hundredths) / 100),
                  *std::ranges::find_if(sorted, enough));
    }
}

TEST(QualityMeasures, AnswersAreNormalized) {
    EXPECT_EQ(normalized_answer("  Figs. \n"), "figs");
    EXPECT_EQ(normalized_answer("Figs ."), "figs");
    EXPECT_EQ(normalized_answer("..."), "..");
    EXPECT_EQ(normalized_answer("No. 5"), "no. 5");
    EXPECT_EQ(normalized_answer("\xC3\x84pfel"), "\xC3\x84pfel");
    EXPECT_EQ(normalized_answer(" \t"), "");
}

TEST(QualityMeasures, AnAnswerIsRightWhereTheOutputBeginsWithIt) {
    EXPECT_TRUE(begins_with_answer(" Figs. And more.", "figs"));
    EXPECT_TRUE(begins_with_answer("figs", "Figs."));
    EXPECT_TRUE(begins_with_answer("figs, of course", "figs"));
    EXPECT_TRUE(begins_with_answer("two figs today", "two figs"));
    EXPECT_FALSE(begins_with_answer("no figs", "figs"));
    EXPECT_FALSE(begins_with_answer("fig", "figs"));
    EXPECT_FALSE(begins_with_answer("anything", "."));
    EXPECT_FALSE(begins_with_answer("", "figs"));
}

TEST(QualityMeasures, AnAnswerIsNoPartOfAWord) {
    EXPECT_FALSE(begins_with_answer("12", "1"));
    EXPECT_FALSE(begins_with_answer("tinder", "tin"));
    EXPECT_TRUE(begins_with_answer("1/2", "1"));
    EXPECT_TRUE(begins_with_answer("\xE6\x97\xA0\xE8\x8A\xB1\xE6\x9E\x9C", "\xE6\x97\xA0"));
}

}  // namespace
}  // namespace spolia
