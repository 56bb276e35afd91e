#include "anchors/kvcomm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "reuse/half_float.h"

namespace spolia {
namespace {

constexpr int32_t kLayers = 3;
constexpr int32_t kDim = 8;
const KvcommOptions kAnyEntropy = {.gamma = 2};

RopeSpec rope() {
    return {.pairs = RopePairs::kNeox, .head_dim = 4, .n_rot = 4, .inv_freq = {1.0, 0.1}};
}

std::unique_ptr<KvBlock> block(int32_t n_rows, std::mt19937& random, float scale = 1) {
    BlockMeta meta;
    meta.layout = {kLayers, kDim, kDim};
    meta.tokens.resize(static_cast<size_t>(n_rows));
    auto made = std::make_unique<KvBlock>(std::move(meta));
    std::normal_distribution<float> normal(0, scale);
    const std::span<uint16_t> all(reinterpret_cast<uint16_t*>(made->data().data()),
                                  made->data().size() / 2);
    for (uint16_t& value : all) value = float_to_half(normal(random));
    return made;
}

double at(std::span<const uint16_t> rows, int32_t row, int32_t i) {
    return static_cast<double>(half_to_float(rows[static_cast<size_t>(row * kDim + i)]));
}

// One anchor of the reference.
struct Told {
    const KvBlock* base;
    const KvBlock* dense;
    int32_t row;
};

// Element i of a row of K, turned by the angle of `delta` positions.
double turned(const std::vector<double>& row, int32_t i, int32_t delta) {
    const RopeSpec spec = rope();
    const int32_t head = i / 4 * 4, within = i % 4, pair = within % 2;
    const double angle = delta * spec.inv_freq[static_cast<size_t>(pair)];
    const double x = row[static_cast<size_t>(head + pair)],
                 y = row[static_cast<size_t>(head + pair + 2)];
    return within < 2 ? x * std::cos(angle) - y * std::sin(angle)
                      : x * std::sin(angle) + y * std::cos(angle);
}

double expected(const KvBlock& base, std::span<const Told> told, int32_t row_at, int32_t layer,
                int32_t row, int32_t i, bool keys) {
    const auto rows = [keys](const KvBlock& from, int32_t of) {
        return keys ? from.k(of) : from.v(of);
    };
    std::vector<double> weights;
    double sum = 0;
    for (const Told& each : told) {
        double distance = 0;
        for (int32_t l = 0; l < kLayers; ++l) {
            for (int32_t j = 0; j < kDim; ++j) {
                distance += std::abs(at(rows(base, l), row, j) - at(rows(*each.base, l), row, j));
            }
        }
        weights.push_back(std::exp(-distance / (kLayers * kDim)));
        sum += weights.back();
    }
    double value = at(rows(base, layer), row, i);
    for (size_t a = 0; a < told.size() && layer > 0; ++a) {
        std::vector<double> delta;
        for (int32_t j = 0; j < kDim; ++j) {
            delta.push_back(at(rows(*told[a].dense, layer), row, j) -
                            at(rows(*told[a].base, layer), row, j));
        }
        const double moved =
            keys ? turned(delta, i, told[a].row - row_at) : delta[static_cast<size_t>(i)];
        value += weights[a] / sum * moved;
    }
    return value;
}

TEST(Kvcomm, PredictsAsTheFormulasSay) {
    std::mt19937 random(5);
    const auto base = block(4, random);
    std::vector<std::unique_ptr<KvBlock>> kept;
    std::vector<Told> told;
    KvcommPlaceholder placeholder(kAnyEntropy);
    for (const int32_t row : {7, 20, 31}) {
        kept.push_back(block(5, random));
        const KvBlock* of = kept.back().get();
        kept.push_back(block(5, random));
        told.push_back({of, kept.back().get(), row});
        placeholder.add(*told.back().base, *told.back().dense, row);
    }
    const auto predicted = placeholder.predict(*base, rope(), 12);
    ASSERT_NE(predicted, nullptr);
    for (int32_t layer = 0; layer < kLayers; ++layer) {
        for (int32_t row = 0; row < 4; ++row) {
            for (int32_t i = 0; i < kDim; ++i) {
                const KvBlock& made = *predicted;
                ASSERT_NEAR(at(made.k(layer), row, i),
                            expected(*base, told, 12, layer, row, i, true), 0.01);
                ASSERT_NEAR(at(made.v(layer), row, i),
                            expected(*base, told, 12, layer, row, i, false), 0.01);
            }
        }
    }
    EXPECT_TRUE(std::ranges::equal(std::as_const(*predicted).k(0), std::as_const(*base).k(0)));
    EXPECT_TRUE(std::ranges::equal(std::as_const(*predicted).v(0), std::as_const(*base).v(0)));
}

TEST(Kvcomm, NeedsTwoAnchorsThatAreLongEnough) {
    std::mt19937 random(6);
    const auto base = block(4, random);
    KvcommPlaceholder placeholder(kAnyEntropy);
    EXPECT_EQ(placeholder.predict(*base, rope(), 0), nullptr);
    placeholder.add(*block(4, random), *block(4, random), 3);
    EXPECT_EQ(placeholder.predict(*base, rope(), 0), nullptr);
    placeholder.add(*block(3, random), *block(3, random), 3);
    EXPECT_EQ(placeholder.predict(*base, rope(), 0), nullptr) << "one is too short";
    placeholder.add(*block(9, random), *block(9, random), 3);
    EXPECT_NE(placeholder.predict(*base, rope(), 0), nullptr);
}

TEST(Kvcomm, RefusesWhereNoAnchorStandsOut) {
    std::mt19937 random(7);
    const auto base = block(4, random, 1e-3f);
    KvcommPlaceholder placeholder;
    for (int i = 0; i < 3; ++i) {
        placeholder.add(*block(4, random, 1e-3f), *block(4, random), 3);
    }
    EXPECT_EQ(placeholder.predict(*base, rope(), 0), nullptr);
}

TEST(Kvcomm, GivesUpTheLeastUsedOfTheOldest) {
    std::mt19937 random(8);
    KvcommPlaceholder placeholder({.anchors_max = 3, .oldest = 2});
    std::vector<std::unique_ptr<KvBlock>> bases;
    for (int i = 0; i < 3; ++i) {
        bases.push_back(block(4, random, 10));
        placeholder.add(*bases.back(), *block(4, random), 0);
    }
    // The first stands out for itself, and is used.
    ASSERT_NE(placeholder.predict(*bases[0], rope(), 0), nullptr);
    placeholder.add(*block(4, random, 10), *block(4, random), 0);
    EXPECT_EQ(placeholder.size(), 3u);
    EXPECT_GT(placeholder.bytes(), 0u);
    // The second is gone: what was its own text is far from all.
    const auto of_second = placeholder.predict(*bases[1], rope(), 0);
    const auto of_first = placeholder.predict(*bases[0], rope(), 0);
    ASSERT_NE(of_first, nullptr);
    EXPECT_TRUE(of_second == nullptr ||
                !std::ranges::equal(std::as_const(*of_second).v(1), std::as_const(*of_first).v(1)));
}

}  // namespace
}  // namespace spolia
