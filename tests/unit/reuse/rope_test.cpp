#include "reuse/rope.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "reuse/half_float.h"

namespace spolia {
namespace {

constexpr RotateKernel kKernels[] = {RotateKernel::kScalar, RotateKernel::kAvx2,
                                     RotateKernel::kAvx512};

using Halves = std::vector<uint16_t>;

RopeSpec make_spec(RopePairs pairs, int32_t head_dim, int32_t n_rot, double base = 10000) {
    RopeSpec spec{pairs, head_dim, n_rot, {}};
    for (int32_t i = 0; i < n_rot / 2; ++i) {
        spec.inv_freq.push_back(std::pow(base, -2.0 * i / n_rot));
    }
    return spec;
}

// What rotate_rows() should compute, without rounding.
std::vector<double> rotate_exactly(const RopeSpec& spec, int32_t delta, const Halves& source) {
    std::vector<double> target(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
        target[i] = half_to_float(source[i]);
    }
    if (spec.pairs == RopePairs::kNone) {
        return target;
    }
    const auto n_pairs = static_cast<size_t>(spec.n_rot / 2);
    for (size_t head = 0; head < source.size(); head += static_cast<size_t>(spec.head_dim)) {
        for (size_t i = 0; i < n_pairs; ++i) {
            const bool neox = spec.pairs == RopePairs::kNeox;
            const size_t first = head + (neox ? i : 2 * i);
            const size_t second = head + (neox ? i + n_pairs : 2 * i + 1);
            const double angle = delta * spec.inv_freq[i];
            const double a = half_to_float(source[first]);
            const double b = half_to_float(source[second]);
            target[first] = a * std::cos(angle) - b * std::sin(angle);
            target[second] = b * std::cos(angle) + a * std::sin(angle);
        }
    }
    return target;
}

// One unit in the last place of a half, or what fp32 leaves of two cancelling products.
double tolerance(double exact, double largest_input) {
    const double unit = std::ldexp(1.0, std::max(std::ilogb(exact), -14) - 10);
    return std::max(unit, std::ldexp(largest_input, -21));
}

double largest(const Halves& halves) {
    double magnitude = 0;
    for (const uint16_t half : halves) {
        magnitude = std::max(magnitude, std::abs(static_cast<double>(half_to_float(half))));
    }
    return magnitude;
}

struct Case {
    RopeSpec spec;
    int32_t delta;
    int64_t n_rows;
    int32_t k_dim;
    Halves source;
};

Case random_case(std::mt19937_64& random) {
    const auto pick = [&](int32_t low, int32_t high) {
        return std::uniform_int_distribution<int32_t>(low, high)(random);
    };
    const int32_t head_dims[] = {2, 6, 16, 24, 64, 80, 96, 128, 160, 256};
    const int32_t head_dim = pick(0, 3) == 0 ? 2 * pick(1, 150) : head_dims[pick(0, 9)];
    const int32_t n_rot = pick(0, 1) == 0 ? head_dim : 2 * pick(0, head_dim / 2);
    const int32_t deltas[] = {0, 1, -1, 37, -4096, 131072, 2'000'000'000, -2'000'000'000};
    Case c;
    c.spec = make_spec(pick(0, 1) == 0 ? RopePairs::kNeox : RopePairs::kInterleaved, head_dim,
                       n_rot, pick(0, 1) == 0 ? 1e4 : 1e6);
    c.delta = pick(0, 1) == 0 ? deltas[pick(0, 7)] : pick(-100000, 100000);
    c.n_rows = pick(0, 9);
    c.k_dim = head_dim * pick(1, 4);
    c.source.resize(static_cast<size_t>(c.n_rows) * c.k_dim);
    std::normal_distribution<float> normal(0, std::ldexp(1.0f, pick(-18, 8)));
    for (uint16_t& half : c.source) {
        half = float_to_half(normal(random));
    }
    return c;
}

TEST(Rope, EveryKernelRotatesAsExactArithmeticDoes) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 400; ++round) {
        const Case c = random_case(random);
        const std::vector<double> expected = rotate_exactly(c.spec, c.delta, c.source);
        const double magnitude = largest(c.source);
        const Rotation rotation(c.spec, c.delta);
        Halves by_scalar;
        for (const RotateKernel kernel : kKernels) {
            if (!kernel_available(kernel)) {
                continue;
            }
            SCOPED_TRACE(testing::Message()
                         << to_string(kernel) << " head_dim " << c.spec.head_dim << " n_rot "
                         << c.spec.n_rot << " delta " << c.delta << " rows " << c.n_rows);
            Halves target(c.source.size(), 0xffff);
            rotate_rows(rotation, c.source.data(), target.data(), c.n_rows, c.k_dim, kernel);
            for (size_t i = 0; i < target.size(); ++i) {
                ASSERT_NEAR(half_to_float(target[i]), expected[i],
                            tolerance(expected[i], magnitude));
            }
            Halves in_place = c.source;
            rotate_rows(rotation, in_place.data(), in_place.data(), c.n_rows, c.k_dim, kernel);
            ASSERT_EQ(in_place, target);
            if (kernel == RotateKernel::kScalar) {
                by_scalar = target;
            }
            ASSERT_EQ(target, by_scalar);
        }
    }
}

TEST(Rope, WritesNothingBehindItsRows) {
    for (const RotateKernel kernel : kKernels) {
        if (!kernel_available(kernel)) {
            continue;
        }
        for (const RopePairs pairs : {RopePairs::kNeox, RopePairs::kInterleaved}) {
            for (int32_t head_dim = 2; head_dim <= 66; head_dim += 2) {
                const auto n = static_cast<size_t>(head_dim) * 3;
                const Halves source(n + 32, 0x3c00);
                Halves target(n + 32, 0x1234);
                const Rotation rotation(make_spec(pairs, head_dim, head_dim), 5);
                rotate_rows(rotation, source.data(), target.data(), 3, head_dim, kernel);
                EXPECT_TRUE(std::all_of(target.begin() + static_cast<std::ptrdiff_t>(n),
                                        target.end(),
                                        [](uint16_t half) { return half == 0x1234; }));
            }
        }
    }
}

TEST(Rope, TheIdentityCopiesBitByBit) {
    Halves every_half(0x10000);
    for (size_t i = 0; i < every_half.size(); ++i) {
        every_half[i] = static_cast<uint16_t>(i);
    }
    const RopeSpec none{RopePairs::kNone, 64, 0, {}};
    for (const Rotation& rotation :
         {Rotation(make_spec(RopePairs::kNeox, 64, 64), 0), Rotation(none, 77)}) {
        ASSERT_TRUE(rotation.identity());
        Halves target(every_half.size());
        rotate_rows(rotation, every_half.data(), target.data(), 1024, 64);
        EXPECT_EQ(target, every_half);
    }
}

TEST(Rope, UnrotatedElementsPassBitByBit) {
    Halves source(4 * 96);
    for (size_t i = 0; i < source.size(); ++i) {
        source[i] = static_cast<uint16_t>(0x7c01 + i);  // NaNs, which arithmetic would change
    }
    for (const RotateKernel kernel : kKernels) {
        if (!kernel_available(kernel)) {
            continue;
        }
        Halves target(source.size());
        const Rotation rotation(make_spec(RopePairs::kNeox, 96, 32), 9);
        rotate_rows(rotation, source.data(), target.data(), 2, 192, kernel);
        for (size_t i = 0; i < source.size(); ++i) {
            if (i % 96 >= 32) {
                EXPECT_EQ(target[i], source[i]);
            }
        }
    }
}

TEST(Rope, RotationsAddUp) {
    std::mt19937_64 random(20);
    std::normal_distribution<float> normal;
    Halves source(128 * 8);
    for (uint16_t& half : source) {
        half = float_to_half(normal(random));
    }
    const RopeSpec spec = make_spec(RopePairs::kNeox, 128, 128, 1e6);
    Halves moved = source;
    for (const int32_t delta : {100000, -30000, -70000}) {
        rotate_rows(Rotation(spec, delta), moved.data(), moved.data(), 4, 256);
    }
    for (size_t i = 0; i < source.size(); ++i) {
        EXPECT_NEAR(half_to_float(moved[i]), half_to_float(source[i]), 0.01);
    }
}

TEST(Rope, ResetMakesTheSameRotationAsTheConstructor) {
    const RopeSpec spec = make_spec(RopePairs::kInterleaved, 80, 48);
    Rotation reused(make_spec(RopePairs::kNeox, 128, 128), 3);
    for (const int32_t delta : {-12, 0, std::numeric_limits<int32_t>::max()}) {
        reused.reset(spec, delta);
        const Rotation fresh(spec, delta);
        EXPECT_EQ(reused.identity(), delta == 0);
        EXPECT_EQ(reused.pairs(), RopePairs::kInterleaved);
        EXPECT_EQ(reused.head_dim(), 80);
        EXPECT_EQ(reused.n_rot(), 48);
        EXPECT_TRUE(std::ranges::equal(reused.cosines(), fresh.cosines()));
        EXPECT_TRUE(std::ranges::equal(reused.sines(), fresh.sines()));
    }
}

TEST(Rope, AnglesFarFromTheOriginAreExact) {
    const RopeSpec spec{RopePairs::kNeox, 2, 2, {1.0}};
    const Rotation rotation(spec, 2'000'000'011);
    EXPECT_NEAR(rotation.cosines()[0], std::cos(2'000'000'011.0), 1e-7);
    EXPECT_NEAR(rotation.sines()[0], std::sin(2'000'000'011.0), 1e-7);
}

TEST(Rope, TheBestKernelIsAvailable) {
    EXPECT_TRUE(kernel_available(RotateKernel::kScalar));
    EXPECT_TRUE(kernel_available(best_rotate_kernel()));
    EXPECT_EQ(to_string(RotateKernel::kAvx512), "avx512");
}

}  // namespace
}  // namespace spolia
