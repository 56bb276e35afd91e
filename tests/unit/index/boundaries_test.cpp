#include "index/boundaries.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "tests/unit/index/toy_tokenizer.h"

namespace spolia {
namespace {

// Rank of every boundary by the text of the line behind it.
std::map<std::string, int> ranks_of(std::string_view text) {
    std::map<std::string, int> ranks;
    for (const Boundary& boundary : line_boundaries(text)) {
        const std::string_view rest = text.substr(boundary.position);
        ranks[std::string(rest.substr(0, rest.find('\n')))] = boundary.rank;
    }
    return ranks;
}

TEST(BoundariesTest, RanksLines) {
    const std::map<std::string, int> ranks = ranks_of(
        "First line.\nnext.\n  indented.\n\nA paragraph.\n\n\nBehind a gap.\n\nLone Title\n\n"
        "Its text.\n\n## Section\nBelow.\n\nTitle\n=====\n\nText.\n    # comment\n");
    const std::map<std::string, int> expected = {{"next.", kLine},
                                                 {"  indented.", kIndentedLine},
                                                 {"A paragraph.", kParagraph},
                                                 {"Behind a gap.", kWideGap},
                                                 {"Lone Title", kTitle},
                                                 {"Its text.", kBehindTitle},
                                                 {"## Section", kHeading + 4},
                                                 {"Below.", kLine},
                                                 {"Title", kHeading + 5},
                                                 {"Text.", kBehindTitle},
                                                 {"    # comment", kIndentedLine}};
    EXPECT_EQ(ranks, expected);
}

std::vector<std::string> sentences_of(std::string_view text) {
    std::vector<std::string> found;
    size_t at = 0;
    for (const Boundary& boundary : sentence_boundaries(text)) {
        found.emplace_back(text.substr(at, boundary.position - at));
        at = boundary.position;
    }
    found.emplace_back(text.substr(at));
    return found;
}

TEST(BoundariesTest, FindsSentences) {
    using Strings = std::vector<std::string>;
    EXPECT_EQ(sentences_of("One. Two?  Three! v1.5 x"),
              (Strings{"One. ", "Two?  ", "Three! ", "v1.5 x"}));
    EXPECT_EQ(sentences_of("他说。“好！”然后走了？！是。"),
              (Strings{"他说。", "“好！”", "然后走了？！", "是。"}));
    EXPECT_EQ(sentences_of("no end"), (Strings{"no end"}));
    EXPECT_EQ(sentences_of("trailing. "), (Strings{"trailing. "}));
}

TEST(BoundariesTest, TheHashIsThatOfTheTextBehind) {
    const std::string text = testing::make_document(3, 12, 5, 30);
    const std::vector<Boundary> alone = line_boundaries(text);
    const std::string before = "Something else.\n\n";
    const std::vector<Boundary> behind = line_boundaries(before + text);
    ASSERT_EQ(behind.size(), alone.size() + 1);
    for (size_t i = 0; i < alone.size(); ++i) {
        EXPECT_EQ(behind[i + 1].position, alone[i].position + before.size());
        EXPECT_EQ(behind[i + 1].hash, alone[i].hash);
    }
}

std::vector<Boundary> naive_maxima(const std::vector<Boundary>& all, int32_t window) {
    std::vector<Boundary> chosen;
    for (size_t i = 0; i < all.size(); ++i) {
        bool best = true;
        for (size_t j = 0; j < all.size(); ++j) {
            if (j == i || std::abs(all[i].token - all[j].token) >= window) continue;
            const auto mine = std::pair(all[i].rank, all[i].hash);
            const auto other = std::pair(all[j].rank, all[j].hash);
            if (other > mine || (other == mine && j < i)) best = false;
        }
        if (best) chosen.push_back(all[i]);
    }
    return chosen;
}

std::vector<Boundary> random_boundaries(std::mt19937_64& random, int n, int gap_max, int n_hashes) {
    std::vector<Boundary> all;
    int32_t token = 0;
    for (int i = 0; i < n; ++i) {
        token += static_cast<int32_t>(random() % (gap_max + 1));
        all.push_back({static_cast<uint32_t>(i), static_cast<uint8_t>(random() % 3),
                       random() % n_hashes, token});
    }
    return all;
}

TEST(BoundariesTest, LocalMaximaEqualTheirDefinition) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int round = 0; round < 300; ++round) {
        const std::vector<Boundary> all = random_boundaries(random, static_cast<int>(random() % 60),
                                                            1 + static_cast<int>(random() % 20),
                                                            1 + static_cast<int>(random() % 50));
        const int32_t window = static_cast<int32_t>(random() % 50);
        std::vector<uint32_t> found, expected;
        for (const Boundary& boundary : local_maxima(all, window))
            found.push_back(boundary.position);
        for (const Boundary& boundary : naive_maxima(all, window)) {
            expected.push_back(boundary.position);
        }
        EXPECT_EQ(found, expected) << "round " << round << ", window " << window;
    }
}

TEST(BoundariesTest, LocalMaximaStandAWindowApartAndNotMuchFarther) {
    std::mt19937_64 random(7);
    std::vector<Boundary> all = random_boundaries(random, 20'000, 2, 1 << 30);
    for (Boundary& boundary : all) boundary.rank = kLine;
    constexpr int32_t kWindow = 64;
    const std::vector<Boundary> chosen = local_maxima(all, kWindow);
    ASSERT_GT(chosen.size(), 2u);
    for (size_t i = 1; i < chosen.size(); ++i) {
        EXPECT_GE(chosen[i].token - chosen[i - 1].token, kWindow);
    }
    const double mean = static_cast<double>(all.back().token) / static_cast<double>(chosen.size());
    EXPECT_GT(mean, 1.6 * kWindow);
    EXPECT_LT(mean, 2.4 * kWindow);
}

}  // namespace
}  // namespace spolia
