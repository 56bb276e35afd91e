#include "anchors/anchor_file.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/anchors/anchors.h"

namespace spolia {
namespace {

using testing::context_chunk;
using testing::key_of;
using testing::make_anchor;

const Key128 kModel = key_of("model");

std::string some_file() {
    Anchor x = make_anchor("x", {"a", "b"}, 77), y = make_anchor("y", {});
    x.context = {context_chunk("a", {1, 5}), context_chunk("b", {2})};
    x.depth = 2;
    Anchor z = make_anchor("z", {"b"});
    z.context = {context_chunk("b", {2})};
    const std::vector<std::shared_ptr<const Anchor>> anchors = {std::make_shared<const Anchor>(x),
                                                                std::make_shared<const Anchor>(y),
                                                                std::make_shared<const Anchor>(z)};
    return format_anchors(kModel, anchors);
}

TEST(AnchorFile, GivesBackWhatWasWritten) {
    const auto anchors = parse_anchors(some_file(), kModel);
    ASSERT_TRUE(anchors);
    ASSERT_EQ(anchors->size(), 3u);
    const Anchor& x = anchors->front();
    EXPECT_EQ(x.chunk, key_of("x"));
    EXPECT_EQ(x.block, make_anchor("x", {"a", "b"}).block);
    EXPECT_EQ(x.depth, 2);
    EXPECT_EQ(x.bytes, 77u);
    ASSERT_EQ(x.context.size(), 2u);
    EXPECT_EQ(x.context[0].key, key_of("a"));
    EXPECT_EQ(*x.context[0].words, (ChunkWords{1, 5}));
    EXPECT_EQ(anchors->at(2).context.front().words, x.context[1].words);
    EXPECT_TRUE(anchors->at(1).context.empty());
}

TEST(AnchorFile, RefusesWhatIsDamagedOrForeign) {
    const std::string good = some_file();
    EXPECT_FALSE(parse_anchors(good, key_of("other model")));
    EXPECT_FALSE(parse_anchors("", kModel));
    for (size_t n = 0; n < good.size(); ++n) {
        ASSERT_FALSE(parse_anchors(good.substr(0, n), kModel)) << n;
        std::string flipped = good;
        flipped[n] = static_cast<char>(flipped[n] ^ 1);
        ASSERT_FALSE(parse_anchors(flipped, kModel)) << n;
    }
}

}  // namespace
}  // namespace spolia
