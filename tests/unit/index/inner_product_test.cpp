#include "index/inner_product.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace spolia {
namespace {

using Kernel = float (*)(const float*, const float*, size_t);

std::vector<Kernel> kernels() {
    std::vector<Kernel> kernels = {inner_product, inner_product_plain};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        kernels.push_back(inner_product_avx2);
    }
    if (__builtin_cpu_supports("avx512f")) kernels.push_back(inner_product_avx512);
#endif
    return kernels;
}

TEST(InnerProduct, IsTheSumOfProductsForEveryLength) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> draw(-1, 1);
    for (size_t n = 0; n < 200; ++n) {
        std::vector<float> a(n), b(n);
        double wanted = 0;
        for (size_t i = 0; i < n; ++i) {
            a[i] = draw(random);
            b[i] = draw(random);
            wanted += double{a[i]} * b[i];
        }
        for (const Kernel kernel : kernels()) {
            EXPECT_NEAR(kernel(a.data(), b.data(), n), wanted, 1e-4) << n;
        }
    }
}

}  // namespace
}  // namespace spolia
