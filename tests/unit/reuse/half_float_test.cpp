#include "reuse/half_float.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace spolia {
namespace {

double exact_value(uint16_t half) {
    const int exponent = (half >> 10) & 0x1f;
    const int mantissa = half & 0x3ff;
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(HalfFloat, WidensEveryFiniteHalfExactly) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        if ((half & 0x7c00) != 0x7c00) {
            ASSERT_EQ(static_cast<double>(half_to_float(half)), exact_value(half)) << bits;
        }
    }
}

TEST(HalfFloat, SurvivesTheWayToFloatAndBack) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const bool is_nan = (half & 0x7fff) > 0x7c00;
        ASSERT_EQ(float_to_half(half_to_float(half)), is_nan ? half | 0x0200 : half);
    }
}

TEST(HalfFloat, RoundsToTheNearestAndTiesToEven) {
    for (uint16_t low = 0; low < 0x7bff; ++low) {
        const auto high = static_cast<uint16_t>(low + 1);
        const double middle = (exact_value(low) + exact_value(high)) / 2;
        const auto tie = static_cast<float>(middle);
        ASSERT_EQ(static_cast<double>(tie), middle);
        ASSERT_EQ(float_to_half(tie), (low & 1) == 0 ? low : high);
        ASSERT_EQ(float_to_half(std::nextafter(tie, 0.0f)), low);
        ASSERT_EQ(float_to_half(std::nextafter(tie, 1e6f)), high);
        ASSERT_EQ(float_to_half(-tie), 0x8000 | ((low & 1) == 0 ? low : high));
    }
}

TEST(HalfFloat, OverflowsToInfinity) {
    EXPECT_EQ(float_to_half(65519.996f), 0x7bff);
    EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
    EXPECT_EQ(float_to_half(65536.0f), 0x7c00);
    EXPECT_EQ(float_to_half(-std::numeric_limits<float>::max()), 0xfc00);
    EXPECT_EQ(float_to_half(std::numeric_limits<float>::infinity()), 0x7c00);
    EXPECT_GT(float_to_half(std::numeric_limits<float>::quiet_NaN()) & 0x7fff, 0x7c00);
}

}  // namespace
}  // namespace spolia
