#pragma once

#include <cstdint>
#include <cstring>

#include "reuse/half_float.h"
#include "reuse/rope.h"

namespace spolia {

// The kernels behind rotate_rows(). A row is a run of heads, so that rows need no loop of their
// own: each kernel rotates `n_heads` heads of rotation.head_dim() half floats. `source` may equal
// `target`. All kernels do the same fp32 operations (two products, one sum, no fused multiply-add),
// and so agree bit by bit. Those for x86 are for processors that kernel_available() affirms.
void rotate_heads_scalar(const Rotation& rotation, const uint16_t* source, uint16_t* target,
                         int64_t n_heads);
void rotate_heads_avx2(const Rotation& rotation, const uint16_t* source, uint16_t* target,
                       int64_t n_heads);
void rotate_heads_avx512(const Rotation& rotation, const uint16_t* source, uint16_t* target,
                         int64_t n_heads);

inline void rotate_pair(float cosine, float sine, const uint16_t* source, uint16_t* target,
                        int32_t first, int32_t second) {
    const float a = half_to_float(source[first]);
    const float b = half_to_float(source[second]);
    target[first] = float_to_half(a * cosine - b * sine);
    target[second] = float_to_half(b * cosine + a * sine);
}

// Pairs [begin, n_rot/2) of one head, one by one: what vectors leave over.
inline void rotate_pairs(const Rotation& rotation, const uint16_t* source, uint16_t* target,
                         int32_t begin) {
    const float* cosines = rotation.cosines().data();
    const float* sines = rotation.sines().data();
    const int32_t half = rotation.n_rot() / 2;
    if (rotation.pairs() == RopePairs::kNeox) {
        for (int32_t i = begin; i < half; ++i) {
            rotate_pair(cosines[i], sines[i], source, target, i, i + half);
        }
    } else {
        for (int32_t i = begin; i < half; ++i) {
            rotate_pair(cosines[i], sines[i], source, target, 2 * i, 2 * i + 1);
        }
    }
}

inline void pass_unrotated(const Rotation& rotation, const uint16_t* source, uint16_t* target) {
    const auto rest = static_cast<size_t>(rotation.head_dim() - rotation.n_rot());
    if (rest != 0 && source != target) {
        std::memcpy(target + rotation.n_rot(), source + rotation.n_rot(), rest * sizeof(uint16_t));
    }
}

}  // namespace spolia
