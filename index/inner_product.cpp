#include "index/inner_product.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace spolia {

// Four sums, so that an addition need not wait for the one before; each kernel has them.
float inner_product_plain(const float* a, const float* b, size_t n) {
    float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        sum0 += a[i] * b[i];
        sum1 += a[i + 1] * b[i + 1];
        sum2 += a[i + 2] * b[i + 2];
        sum3 += a[i + 3] * b[i + 3];
    }
    for (; i < n; ++i) sum0 += a[i] * b[i];
    return (sum0 + sum1) + (sum2 + sum3);
}

#if defined(__x86_64__)

#define SPOLIA_AVX2 __attribute__((target("avx2,fma")))
#define SPOLIA_AVX512 __attribute__((target("avx512f,avx2,fma")))

namespace {

SPOLIA_AVX2 inline __m256 add_product(__m256 sum, const float* a, const float* b) {
    return _mm256_fmadd_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b), sum);
}

SPOLIA_AVX512 inline __m512 add_product(__m512 sum, const float* a, const float* b) {
    return _mm512_fmadd_ps(_mm512_loadu_ps(a), _mm512_loadu_ps(b), sum);
}

SPOLIA_AVX2 inline float sum_of(__m256 sums) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

}  // namespace

SPOLIA_AVX2 float inner_product_avx2(const float* a, const float* b, size_t n) {
    __m256 sum0 = _mm256_setzero_ps(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        sum0 = add_product(sum0, a + i, b + i);
        sum1 = add_product(sum1, a + i + 8, b + i + 8);
        sum2 = add_product(sum2, a + i + 16, b + i + 16);
        sum3 = add_product(sum3, a + i + 24, b + i + 24);
    }
    float sum = sum_of(_mm256_add_ps(_mm256_add_ps(sum0, sum1), _mm256_add_ps(sum2, sum3)));
    for (; i < n; ++i) sum += a[i] * b[i];
    _mm256_zeroupper();
    return sum;
}

SPOLIA_AVX512 float inner_product_avx512(const float* a, const float* b, size_t n) {
    __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        sum0 = add_product(sum0, a + i, b + i);
        sum1 = add_product(sum1, a + i + 16, b + i + 16);
        sum2 = add_product(sum2, a + i + 32, b + i + 32);
        sum3 = add_product(sum3, a + i + 48, b + i + 48);
    }
    // By way of memory: GCC 12 warns of its own _mm512_reduce_add_ps().
    alignas(64) float parts[16];
    _mm512_store_ps(parts, _mm512_add_ps(_mm512_add_ps(sum0, sum1), _mm512_add_ps(sum2, sum3)));
    float sum = sum_of(_mm256_add_ps(_mm256_load_ps(parts), _mm256_load_ps(parts + 8)));
    for (; i < n; ++i) sum += a[i] * b[i];
    _mm256_zeroupper();
    return sum;
}

#endif

float inner_product(const float* a, const float* b, size_t n) {
#if defined(__x86_64__)
    static const auto best = [] {
        if (__builtin_cpu_supports("avx512f")) return inner_product_avx512;
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
            return inner_product_avx2;
        }
        return inner_product_plain;
    }();
    return best(a, b, n);
#else
    return inner_product_plain(a, b, n);
#endif
}

}  // namespace spolia
