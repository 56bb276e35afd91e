#include "reuse/rotate_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SPOLIA_AVX2 __attribute__((target("avx2,f16c")))

namespace spolia {
namespace {

SPOLIA_AVX2 inline __m256 load_halves(const uint16_t* source) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}

SPOLIA_AVX2 inline void store_halves(uint16_t* target, __m256 values) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target),
                     _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

// Eight pairs at a time; returns the first pair that is left.
SPOLIA_AVX2 inline int32_t rotate_neox(const Rotation& rotation, const uint16_t* source,
                                       uint16_t* target) {
    const int32_t half = rotation.n_rot() / 2;
    int32_t i = 0;
    for (; i + 8 <= half; i += 8) {
        const __m256 cosine = _mm256_loadu_ps(rotation.cosines().data() + i);
        const __m256 sine = _mm256_loadu_ps(rotation.sines().data() + i);
        const __m256 a = load_halves(source + i);
        const __m256 b = load_halves(source + half + i);
        store_halves(target + i, _mm256_sub_ps(_mm256_mul_ps(a, cosine), _mm256_mul_ps(b, sine)));
        store_halves(target + half + i,
                     _mm256_add_ps(_mm256_mul_ps(b, cosine), _mm256_mul_ps(a, sine)));
    }
    return i;
}

// Four floats, each twice.
SPOLIA_AVX2 inline __m256 load_twice(const float* source) {
    const __m256 both = _mm256_castps128_ps256(_mm_loadu_ps(source));
    return _mm256_permutevar8x32_ps(both, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}

// Four pairs at a time; returns the first pair that is left.
SPOLIA_AVX2 inline int32_t rotate_interleaved(const Rotation& rotation, const uint16_t* source,
                                              uint16_t* target) {
    const int32_t half = rotation.n_rot() / 2;
    int32_t i = 0;
    for (; i + 4 <= half; i += 4) {
        const __m256 cosine = load_twice(rotation.cosines().data() + i);
        const __m256 sine = load_twice(rotation.sines().data() + i);
        const __m256 pairs = load_halves(source + 2 * i);
        const __m256 swapped = _mm256_permute_ps(pairs, 0b10'11'00'01);
        store_halves(target + 2 * i,
                     _mm256_addsub_ps(_mm256_mul_ps(pairs, cosine), _mm256_mul_ps(swapped, sine)));
    }
    return i;
}

}  // namespace

SPOLIA_AVX2 void rotate_heads_avx2(const Rotation& rotation, const uint16_t* source,
                                   uint16_t* target, int64_t n_heads) {
    const bool neox = rotation.pairs() == RopePairs::kNeox;
    for (int64_t head = 0; head < n_heads; ++head) {
        const int32_t done = neox ? rotate_neox(rotation, source, target)
                                  : rotate_interleaved(rotation, source, target);
        rotate_pairs(rotation, source, target, done);
        pass_unrotated(rotation, source, target);
        source += rotation.head_dim();
        target += rotation.head_dim();
    }
}

}  // namespace spolia

#endif
