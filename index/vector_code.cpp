#include "index/vector_code.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace spolia {
namespace {

constexpr size_t kLine = 64;
constexpr float kByteMax = 127;

size_t padded(size_t n) { return (n + kLine - 1) / kLine * kLine; }

struct Trailer {
    float unit;
    int32_t sum;
    float length, error;
};

Trailer trailer_of(const int8_t* code, size_t n_dims) {
    Trailer trailer;
    std::memcpy(&trailer, code + padded(n_dims), sizeof trailer);
    return trailer;
}

int8_t rounded(float x) { return static_cast<int8_t>(x + (x < 0 ? -0.5f : 0.5f)); }

}  // namespace

size_t code_bytes(size_t n_dims) { return padded(n_dims) + padded(sizeof(Trailer)); }

void encode_vector(std::span<const float> vector, int8_t* code) {
    float largest = 0;
    for (const float x : vector) largest = std::max(largest, std::abs(x));
    const float scale = largest > 0 ? kByteMax / largest : 0;
    std::fill(code, code + code_bytes(vector.size()), int8_t{0});
    Trailer trailer{largest / kByteMax, 0, 0, 0};
    for (size_t i = 0; i < vector.size(); ++i) {
        code[i] = rounded(vector[i] * scale);
        trailer.sum += code[i];
        const float error = vector[i] - code[i] * trailer.unit;
        trailer.length += vector[i] * vector[i];
        trailer.error += error * error;
    }
    trailer.length = std::sqrt(trailer.length);
    trailer.error = std::sqrt(trailer.error);
    std::memcpy(code + padded(vector.size()), &trailer, sizeof trailer);
}

int32_t byte_product_plain(const int8_t* a, const int8_t* b, size_t n, int32_t) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

#if defined(__x86_64__)

#define SPOLIA_AVX2 __attribute__((target("avx2")))
#define SPOLIA_VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))

namespace {

SPOLIA_AVX2 inline __m256i in_words(const int8_t* bytes) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}

SPOLIA_AVX2 inline __m256i add_byte_products(__m256i sums, const int8_t* a, const int8_t* b) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(in_words(a), in_words(b)));
}

}  // namespace

SPOLIA_AVX2 int32_t byte_product_avx2(const int8_t* a, const int8_t* b, size_t n, int32_t) {
    __m256i sums0 = _mm256_setzero_si256(), sums1 = sums0;
    for (size_t i = 0; i < n; i += 32) {
        sums0 = add_byte_products(sums0, a + i, b + i);
        sums1 = add_byte_products(sums1, a + i + 16, b + i + 16);
    }
    alignas(32) int32_t parts[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(parts), _mm256_add_epi32(sums0, sums1));
    _mm256_zeroupper();
    return std::accumulate(parts, parts + 8, int32_t{0});
}

// The instruction multiplies unsigned with signed bytes: a's are raised by 128, and what that adds
// is taken off again.
SPOLIA_VNNI int32_t byte_product_vnni(const int8_t* a, const int8_t* b, size_t n, int32_t b_sum) {
    const __m512i high_bits = _mm512_set1_epi8(-128);
    __m512i sums = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 64) {
        const __m512i raised = _mm512_xor_si512(_mm512_loadu_si512(a + i), high_bits);
        sums = _mm512_dpbusd_epi32(sums, raised, _mm512_loadu_si512(b + i));
    }
    // By way of memory: GCC 12 warns of its own _mm512_reduce_add_epi32().
    alignas(64) int32_t parts[16];
    _mm512_store_si512(parts, sums);
    _mm256_zeroupper();
    return std::accumulate(parts, parts + 16, int32_t{0}) - 128 * b_sum;
}

#endif

namespace {

float product_of(const int8_t* a, const Trailer& of_a, const int8_t* b, const Trailer& of_b,
                 size_t n_dims) {
    static const auto byte_product = [] {
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni")) {
            return byte_product_vnni;
        }
        if (__builtin_cpu_supports("avx2")) return byte_product_avx2;
#endif
        return byte_product_plain;
    }();
    const int32_t sum = byte_product(a, b, padded(n_dims), of_b.sum);
    return static_cast<float>(sum) * of_a.unit * of_b.unit;
}

}  // namespace

float code_inner_product(const int8_t* a, const int8_t* b, size_t n_dims) {
    return product_of(a, trailer_of(a, n_dims), b, trailer_of(b, n_dims), n_dims);
}

// With a = a' + da and b = b' + db, the product is a'b' + da b + a' db, and the length of a' at
// most that of a and of da together.
float inner_product_max(const int8_t* a, const int8_t* b, size_t n_dims) {
    // Of the sums of floats, both those here and those of whoever computes the product.
    constexpr float kRounding = 1e-5f;
    const Trailer of_a = trailer_of(a, n_dims), of_b = trailer_of(b, n_dims);
    return product_of(a, of_a, b, of_b, n_dims) + of_a.error * of_b.length +
           (of_a.length + of_a.error) * of_b.error + kRounding * of_a.length * of_b.length;
}

}  // namespace spolia
