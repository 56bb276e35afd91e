#include "reuse/rotate_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SPOLIA_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))

namespace spolia {
namespace {

// The first n (at most 16) lanes.
inline uint16_t lanes(int32_t n) {
    return static_cast<uint16_t>(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

SPOLIA_AVX512 inline __m512 load_halves(__mmask16 mask, const uint16_t* source) {
    return _mm512_maskz_cvtph_ps(mask, _mm256_maskz_loadu_epi16(mask, source));
}

SPOLIA_AVX512 inline void store_halves(__mmask16 mask, uint16_t* target, __m512 values) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    _mm256_mask_storeu_epi16(target, mask, _mm512_maskz_cvtps_ph(mask, values, kNearest));
}

SPOLIA_AVX512 inline void rotate_neox(const Rotation& rotation, const uint16_t* source,
                                      uint16_t* target) {
    const int32_t half = rotation.n_rot() / 2;
    for (int32_t i = 0; i < half; i += 16) {
        const __mmask16 mask = lanes(half - i);
        const __m512 cosine = _mm512_maskz_loadu_ps(mask, rotation.cosines().data() + i);
        const __m512 sine = _mm512_maskz_loadu_ps(mask, rotation.sines().data() + i);
        const __m512 a = load_halves(mask, source + i);
        const __m512 b = load_halves(mask, source + half + i);
        store_halves(mask, target + i,
                     _mm512_sub_ps(_mm512_mul_ps(a, cosine), _mm512_mul_ps(b, sine)));
        store_halves(mask, target + half + i,
                     _mm512_add_ps(_mm512_mul_ps(b, cosine), _mm512_mul_ps(a, sine)));
    }
}

// Eight floats (those in `mask`), each twice.
SPOLIA_AVX512 inline __m512 load_twice(__mmask8 mask, const float* source) {
    const __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m512 values = _mm512_castps256_ps512(_mm256_maskz_loadu_ps(mask, source));
    return _mm512_maskz_permutexvar_ps(__mmask16{0xffff}, index, values);
}

SPOLIA_AVX512 inline void rotate_interleaved(const Rotation& rotation, const uint16_t* source,
                                             uint16_t* target) {
    const __m512i minus_even = _mm512_set1_epi64(0x80000000);
    const int32_t half = rotation.n_rot() / 2;
    for (int32_t i = 0; i < half; i += 8) {
        const __mmask8 pair_mask = static_cast<__mmask8>(lanes(half - i));
        const __mmask16 mask = lanes(2 * (half - i));
        const __m512 cosine = load_twice(pair_mask, rotation.cosines().data() + i);
        const __m512 sine = load_twice(pair_mask, rotation.sines().data() + i);
        const __m512 signed_sine =
            _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(sine), minus_even));
        const __m512 pairs = load_halves(mask, source + 2 * i);
        const __m512 swapped = _mm512_maskz_permute_ps(mask, pairs, 0b10'11'00'01);
        store_halves(
            mask, target + 2 * i,
            _mm512_add_ps(_mm512_mul_ps(pairs, cosine), _mm512_mul_ps(swapped, signed_sine)));
    }
}

}  // namespace

SPOLIA_AVX512 void rotate_heads_avx512(const Rotation& rotation, const uint16_t* source,
                                       uint16_t* target, int64_t n_heads) {
    const bool neox = rotation.pairs() == RopePairs::kNeox;
    for (int64_t head = 0; head < n_heads; ++head) {
        if (neox) {
            rotate_neox(rotation, source, target);
        } else {
            rotate_interleaved(rotation, source, target);
        }
        pass_unrotated(rotation, source, target);
        source += rotation.head_dim();
        target += rotation.head_dim();
    }
}

}  // namespace spolia

#endif
