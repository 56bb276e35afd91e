#include "adapters/llama/tiled_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "reuse/half_float.h"

namespace spolia {
namespace {

struct Shape {
    int32_t head_dim, n_head_kv, group, n_rows, n_cells;
    size_t k_padding = 0, v_padding = 0;  // elements between cells
};

// Random input of a shape, with everything that AttentionInput points at.
struct Problem {
    Problem(const Shape& shape, std::mt19937& generator, float q_scale = 1.0f) {
        input.head_dim = shape.head_dim;
        input.n_head_kv = shape.n_head_kv;
        input.n_head = shape.n_head_kv * shape.group;
        input.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
        input.n_rows = shape.n_rows;
        const auto kv_dim = static_cast<size_t>(shape.n_head_kv * shape.head_dim);
        input.k_stride = kv_dim + shape.k_padding;
        input.v_stride = kv_dim + shape.v_padding;

        std::normal_distribution<float> normal;
        q.resize(static_cast<size_t>(shape.n_rows * input.n_head * shape.head_dim));
        for (float& x : q) x = q_scale * normal(generator);
        k.resize(static_cast<size_t>(shape.n_cells) * input.k_stride);
        v.resize(static_cast<size_t>(shape.n_cells) * input.v_stride);
        for (uint16_t& x : k) x = float_to_half(normal(generator));
        for (uint16_t& x : v) x = float_to_half(normal(generator));

        std::vector<int32_t> cells(static_cast<size_t>(shape.n_cells));
        std::iota(cells.begin(), cells.end(), 0);
        std::ranges::sample(cells, std::back_inserter(positions), shape.n_rows, generator);
    }

    std::vector<float> run(const TiledAttentionKernel& kernel) const {
        std::vector<float> out(q.size(), NAN);
        const AttentionInput in = bound(out);
        kernel.attend(in, 0, kernel.items(in), Scratch(kernel, in).data());
        return out;
    }

    // Every item by itself, in random order, as threads take them.
    std::vector<float> run_shuffled(const TiledAttentionKernel& kernel,
                                    std::mt19937& generator) const {
        std::vector<float> out(q.size(), NAN);
        const AttentionInput in = bound(out);
        std::vector<int32_t> items(static_cast<size_t>(kernel.items(in)));
        std::iota(items.begin(), items.end(), 0);
        std::ranges::shuffle(items, generator);
        Scratch scratch(kernel, in);
        for (const int32_t item : items) kernel.attend(in, item, item + 1, scratch.data());
        return out;
    }

    std::vector<double> reference() const {
        std::vector<double> out(q.size());
        const int32_t dim = input.head_dim, group = input.n_head / input.n_head_kv;
        for (int32_t row = 0; row < input.n_rows; ++row) {
            for (int32_t head = 0; head < input.n_head; ++head) {
                const size_t at = static_cast<size_t>((row * input.n_head + head) * dim);
                const size_t kv = static_cast<size_t>(head / group * dim);
                attend_one(&q[at], kv, positions[static_cast<size_t>(row)] + 1, &out[at]);
            }
        }
        return out;
    }

    AttentionInput input;
    std::vector<float> q;
    std::vector<uint16_t> k, v;
    std::vector<int32_t> positions;

private:
    class Scratch {
    public:
        Scratch(const TiledAttentionKernel& kernel, const AttentionInput& in)
            : bytes_(kernel.scratch_bytes(in) + 64) {}
        std::byte* data() {
            const auto at = reinterpret_cast<uintptr_t>(bytes_.data());
            return bytes_.data() + (64 - at % 64) % 64;
        }

    private:
        std::vector<std::byte> bytes_;
    };

    AttentionInput bound(std::vector<float>& out) const {
        AttentionInput in = input;
        in.q = q.data();
        in.k = k.data();
        in.v = v.data();
        in.positions = positions.data();
        in.out = out.data();
        return in;
    }

    void attend_one(const float* query, size_t kv, int32_t n_keys, double* out) const {
        std::vector<double> weights;
        for (int32_t key = 0; key < n_keys; ++key) {
            double score = 0.0;
            for (int32_t d = 0; d < input.head_dim; ++d) {
                score += double{query[d]} *
                         half_to_float(k[static_cast<size_t>(key) * input.k_stride + kv + d]);
            }
            weights.push_back(score * input.scale);
        }
        const double top = std::ranges::max(weights);
        double mass = 0.0;
        for (double& weight : weights) mass += weight = std::exp(weight - top);
        for (int32_t d = 0; d < input.head_dim; ++d) {
            double sum = 0.0;
            for (int32_t key = 0; key < n_keys; ++key) {
                sum += weights[static_cast<size_t>(key)] *
                       half_to_float(v[static_cast<size_t>(key) * input.v_stride + kv + d]);
            }
            out[d] = sum / mass;
        }
    }
};

void expect_near(const std::vector<float>& ours, const std::vector<double>& reference,
                 double tolerance) {
    ASSERT_EQ(ours.size(), reference.size());
    for (size_t i = 0; i < ours.size(); ++i) {
        ASSERT_NEAR(ours[i], reference[i], tolerance) << "element " << i;
    }
}

class EachKernel : public ::testing::TestWithParam<size_t> {
protected:
    const TiledAttentionKernel& kernel() const { return tiled_attention_kernels()[GetParam()]; }
};

TEST_P(EachKernel, EqualsANaiveReferenceOnRandomShapes) {
    std::mt19937 generator(20);
    const auto up_to = [&](int32_t n) { return static_cast<int32_t>(generator() % n) + 1; };
    for (int round = 0; round < 40; ++round) {
        Shape shape;
        shape.head_dim = kernel().width * up_to(128 / kernel().width);
        shape.n_head_kv = up_to(3);
        shape.group = up_to(8);
        shape.n_cells = up_to(round % 4 == 0 ? 400 : 140);
        shape.n_rows = up_to(std::min(shape.n_cells, 60));
        shape.k_padding = generator() % 2 * 24;
        shape.v_padding = generator() % 2 * 40;
        SCOPED_TRACE("seed 20, round " + std::to_string(round) + ": dim " +
                     std::to_string(shape.head_dim) + ", kv heads " +
                     std::to_string(shape.n_head_kv) + ", group " + std::to_string(shape.group) +
                     ", rows " + std::to_string(shape.n_rows) + ", cells " +
                     std::to_string(shape.n_cells));
        const Problem problem(shape, generator);
        const std::vector<float> out = problem.run(kernel());
        expect_near(out, problem.reference(), 1e-5);
        EXPECT_EQ(problem.run_shuffled(kernel(), generator), out);
    }
}

TEST_P(EachKernel, RowsAtTheBordersOfTiles) {
    std::mt19937 generator(21);
    for (const int32_t n_cells : {1, 2, 63, 64, 65, 127, 128, 129}) {
        SCOPED_TRACE(n_cells);
        Problem problem({32, 2, 3, 1, n_cells}, generator);
        problem.positions = {n_cells - 1};
        expect_near(problem.run(kernel()), problem.reference(), 1e-5);
    }
    Problem all({16, 1, 7, 130, 130}, generator);
    expect_near(all.run(kernel()), all.reference(), 1e-5);
}

TEST_P(EachKernel, ScoresFarApart) {
    std::mt19937 generator(22);
    const Problem problem({64, 2, 4, 30, 200}, generator, 200.0f);
    expect_near(problem.run(kernel()), problem.reference(), 1e-3);
}

TEST_P(EachKernel, TakesTheLargestHead) {
    std::mt19937 generator(23);
    const Problem problem({512, 1, 2, 5, 70}, generator);
    expect_near(problem.run(kernel()), problem.reference(), 1e-5);
}

TEST_P(EachKernel, NeverSeesCellsBehindARow) {
    std::mt19937 generator(24);
    constexpr uint16_t kLargest = 0x7bff;
    for (int round = 0; round < 10; ++round) {
        SCOPED_TRACE("seed 24, round " + std::to_string(round));
        Problem problem({32, 2, 4, 40, 180}, generator);
        const std::vector<float> clean = problem.run(kernel());
        const size_t row = generator() % 40;
        const auto first = static_cast<size_t>(problem.positions[row]) + 1;
        for (size_t i = first * problem.input.k_stride; i < problem.k.size(); ++i) {
            problem.k[i] = kLargest | (i % 2 << 15);
        }
        for (size_t i = first * problem.input.v_stride; i < problem.v.size(); ++i) {
            problem.v[i] = kLargest;
        }
        const std::vector<float> poisoned = problem.run(kernel());
        const size_t n = (row + 1) * 8 * 32;
        EXPECT_EQ(std::memcmp(clean.data(), poisoned.data(), n * sizeof(float)), 0);
    }
}

INSTANTIATE_TEST_SUITE_P(TiledAttention, EachKernel,
                         ::testing::Range<size_t>(0, tiled_attention_kernels().size()),
                         [](const auto& each) {
                             return std::string(tiled_attention_kernels()[each.param].name);
                         });

TEST(TiledAttention, SaysWhichHeadsItTakes) {
    EXPECT_TRUE(tiled_attention_supports(64, 14, 2));
    EXPECT_TRUE(tiled_attention_supports(128, 32, 32));
    EXPECT_FALSE(tiled_attention_supports(0, 4, 2));
    EXPECT_FALSE(tiled_attention_supports(65, 4, 2));
    EXPECT_FALSE(tiled_attention_supports(1024, 4, 2));
    EXPECT_FALSE(tiled_attention_supports(64, 4, 3));
    EXPECT_FALSE(tiled_attention_supports(64, 4, 0));
}

TEST(TiledAttention, BestKernelComesFirst) {
    ASSERT_FALSE(tiled_attention_kernels().empty());
    EXPECT_EQ(tiled_attention_kernels().front().name, tiled_attention_kernel());
    EXPECT_EQ(tiled_attention_kernels().back().name, "portable");
}

}  // namespace
}  // namespace spolia
