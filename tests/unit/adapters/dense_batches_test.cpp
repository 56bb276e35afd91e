#include "adapters/llama/dense_batches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace spolia {
namespace {

TEST(DenseBatches, AreWholeTilesAndNeverSmallerThanOne) {
    for (const int32_t n_ubatch : {8, 15, 16, 37, 63, 64, 100, 127, 128, 130, 200, 512}) {
        const DenseBatches batches(n_ubatch);
        const int32_t tile = batches.tile_rows();
        ASSERT_GE(tile, 4);
        ASSERT_EQ(64 % tile, 0);
        for (int32_t end = 1; end < 3 * n_ubatch; ++end) {
            for (int32_t begin = 0; begin < end; begin += tile) {
                SCOPED_TRACE(std::to_string(n_ubatch) + ": " + std::to_string(begin) + " to " +
                             std::to_string(end));
                for (int32_t at = begin; at < end;) {
                    const int32_t n = batches.size(at, end - at);
                    ASSERT_LE(n, n_ubatch);
                    ASSERT_GE(n, std::min(tile, end - begin));
                    at += n;
                    ASSERT_TRUE(at == end || at % tile == 0);
                    ASSERT_TRUE(n_ubatch >= 128 || n < 64);
                }
            }
        }
    }
}

TEST(DenseBatches, GetOnFromAnyPosition) {
    const DenseBatches batches(512);
    for (int32_t position = 0; position < 130; ++position) {
        for (int32_t n = 1; n < 1200; n += 7) {
            const int32_t size = batches.size(position, n);
            ASSERT_GE(size, 1);
            ASSERT_LE(size, std::min(n, 512));
        }
    }
}

}  // namespace
}  // namespace spolia
