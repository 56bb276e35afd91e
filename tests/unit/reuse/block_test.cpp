#include "reuse/block.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace spolia {
namespace {

BlockMeta make_meta(KvLayout layout, int32_t n_rows) {
    BlockMeta meta;
    meta.layout = layout;
    for (int32_t row = 0; row < n_rows; ++row) {
        meta.tokens.push_back(row);
    }
    return meta;
}

TEST(KvBlock, LaysLayersOutAsKeysThenValues) {
    KvBlock block(make_meta({.n_layer = 3, .k_dim = 4, .v_dim = 6}, 5));
    const auto* base = reinterpret_cast<const uint16_t*>(block.data().data());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(base) % 64, 0u);
    EXPECT_EQ(block.data().size(), 3u * (4 + 6) * 5 * 2);
    for (int32_t layer = 0; layer < 3; ++layer) {
        EXPECT_EQ(block.k(layer).data() - base, layer * 50);
        EXPECT_EQ(block.k(layer).size(), 20u);
        EXPECT_EQ(block.v(layer).data() - base, layer * 50 + 20);
        EXPECT_EQ(block.v(layer).size(), 30u);
    }
}

TEST(KvBlock, ReadsBackThroughTheConstView) {
    KvBlock block(make_meta({.n_layer = 2, .k_dim = 2, .v_dim = 2}, 1));
    uint16_t next = 1;
    for (int32_t layer = 0; layer < 2; ++layer) {
        for (uint16_t& element : block.k(layer)) {
            element = next++;
        }
        for (uint16_t& element : block.v(layer)) {
            element = next++;
        }
    }
    const KvBlock& view = block;
    EXPECT_EQ(view.k(1)[0], 5);
    EXPECT_EQ(view.v(1)[1], 8);
    EXPECT_EQ(reinterpret_cast<const uint16_t*>(view.data().data())[3], 4);
}

TEST(KvBlock, CountsItsTokensAsWellAsItsRows) {
    const KvBlock block(make_meta({.n_layer = 1, .k_dim = 8, .v_dim = 8}, 100));
    EXPECT_EQ(block.n_rows(), 100);
    EXPECT_GE(block.bytes_total(), block.data().size() + 100 * sizeof(Token));
}

TEST(KvBlock, MayHaveNoRows) {
    const KvBlock block(make_meta({.n_layer = 1, .k_dim = 8, .v_dim = 8}, 0));
    EXPECT_TRUE(block.data().empty());
    EXPECT_TRUE(block.v(0).empty());
}

TEST(Provenance, HasNames) {
    EXPECT_EQ(to_string(Provenance::kExact), "exact");
    EXPECT_EQ(to_string(Provenance::kApproximate), "approximate");
}

}  // namespace
}  // namespace spolia
