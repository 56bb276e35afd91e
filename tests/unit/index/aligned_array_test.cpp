#include "index/aligned_array.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace spolia {
namespace {

TEST(AlignedArray, BeginsOnACacheLineAndHoldsWhatIsWritten) {
    for (const size_t n : {size_t{1}, size_t{100}, size_t{1} << 19, (size_t{1} << 19) + 1}) {
        const AlignedArray<float> array = make_aligned_array<float>(n);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(array.get()) % 64, 0u);
        for (size_t i = 0; i < n; ++i) array[i] = static_cast<float>(i);
        EXPECT_EQ(array[n - 1], static_cast<float>(n - 1));
        EXPECT_EQ(array[n / 2], static_cast<float>(n / 2));
    }
}

}  // namespace
}  // namespace spolia
