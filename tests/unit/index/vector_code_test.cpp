#include "index/vector_code.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

namespace spolia {
namespace {

using Kernel = int32_t (*)(const int8_t*, const int8_t*, size_t, int32_t);

std::vector<Kernel> kernels() {
    std::vector<Kernel> kernels = {byte_product_plain};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) kernels.push_back(byte_product_avx2);
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni")) {
        kernels.push_back(byte_product_vnni);
    }
#endif
    return kernels;
}

std::vector<float> random_vector(std::mt19937& random, size_t n) {
    std::normal_distribution<float> draw;
    std::vector<float> vector(n);
    for (float& x : vector) x = draw(random);
    return vector;
}

std::vector<int8_t> encoded(const std::vector<float>& vector) {
    std::vector<int8_t> code(code_bytes(vector.size()), 99);
    encode_vector(vector, code.data());
    return code;
}

double exact_product(const std::vector<float>& a, const std::vector<float>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

TEST(VectorCode, GivesInnerProductsUpToTheRoundingOfBytes) {
    std::mt19937 random(1);
    for (size_t n = 1; n < 500; ++n) {
        const std::vector<float> a = random_vector(random, n), b = random_vector(random, n);
        const double lengths = std::sqrt(exact_product(a, a) * exact_product(b, b));
        const float product = code_inner_product(encoded(a).data(), encoded(b).data(), n);
        // Of a byte, half; the largest is at most the vector's length.
        const double bound = std::sqrt(static_cast<double>(n)) * (0.5 / 127) * 2.1 * lengths;
        EXPECT_NEAR(product, exact_product(a, b), bound) << n;
        EXPECT_GE(inner_product_max(encoded(a).data(), encoded(b).data(), n), exact_product(a, b));
        EXPECT_LE(inner_product_max(encoded(a).data(), encoded(b).data(), n), product + bound);
        EXPECT_NEAR(code_inner_product(encoded(a).data(), encoded(a).data(), n),
                    exact_product(a, a), 0.02 * exact_product(a, a))
            << n;
    }
}

TEST(VectorCode, SumsTheSameWhateverTheProcessor) {
    std::mt19937 random(2);
    std::uniform_int_distribution<int> draw(-128, 127);
    for (size_t n = 0; n <= 1024; n += 64) {
        std::vector<int8_t> a(n), b(n);
        for (int8_t& x : a) x = static_cast<int8_t>(draw(random));
        for (int8_t& x : b) x = static_cast<int8_t>(draw(random));
        const int32_t b_sum = std::accumulate(b.begin(), b.end(), int32_t{0});
        int32_t wanted = 0;
        for (size_t i = 0; i < n; ++i) wanted += int32_t{a[i]} * int32_t{b[i]};
        for (const Kernel kernel : kernels()) {
            EXPECT_EQ(kernel(a.data(), b.data(), n, b_sum), wanted) << n;
        }
    }
}

TEST(VectorCode, TakesVectorsOfZerosAndOfOneNumber) {
    const std::vector<float> zeros(70);
    EXPECT_EQ(code_inner_product(encoded(zeros).data(), encoded(zeros).data(), 70), 0);
    EXPECT_GE(inner_product_max(encoded(zeros).data(), encoded(zeros).data(), 70), 0);
    std::vector<float> one(70);
    one[69] = -1;
    EXPECT_FLOAT_EQ(code_inner_product(encoded(one).data(), encoded(one).data(), 70), 1);
    EXPECT_GE(inner_product_max(encoded(one).data(), encoded(one).data(), 70), 1);
}

}  // namespace
}  // namespace spolia
