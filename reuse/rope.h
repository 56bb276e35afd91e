#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace spolia {

// Which elements of a head form a rotary pair.
enum class RopePairs : uint8_t {
    kNone,         // no rotary embedding: K does not depend on position
    kNeox,         // (i, i + n_rot/2)
    kInterleaved,  // (2i, 2i + 1)
};

// How a model rotates K: angle of pair i at position p is p * inv_freq[i] (radians). Linear in p,
// which is what makes moving a row a rotation by the difference. Frequency factors and YaRN's
// blend of frequencies are already inside inv_freq; YaRN's magnitude is not, since a stored row has
// it already.
struct RopeSpec {
    RopePairs pairs = RopePairs::kNone;
    int32_t head_dim = 0;
    int32_t n_rot = 0;  // rotated elements of a head, even, <= head_dim; the rest pass unchanged
    std::vector<double> inv_freq;  // n_rot / 2
};

// Cosines and sines of one constant delta: made once per block, used for all rows and layers.
class Rotation {
public:
    Rotation(const RopeSpec& spec, int32_t delta);
    // Makes this the rotation by another delta, without allocating.
    void reset(const RopeSpec& spec, int32_t delta);

    bool identity() const { return identity_; }
    RopePairs pairs() const { return pairs_; }
    int32_t head_dim() const { return head_dim_; }
    int32_t n_rot() const { return n_rot_; }
    std::span<const float> cosines() const { return cosines_; }
    std::span<const float> sines() const { return sines_; }

private:
    RopePairs pairs_ = RopePairs::kNone;
    int32_t head_dim_ = 0;
    int32_t n_rot_ = 0;
    bool identity_ = true;
    std::vector<float> cosines_;  // n_rot / 2
    std::vector<float> sines_;
};

enum class RotateKernel : uint8_t { kScalar, kAvx2, kAvx512 };
std::string_view to_string(RotateKernel kernel);
// The fastest kernel that this processor runs.
RotateKernel best_rotate_kernel();
// Whether this processor runs `kernel`.
bool kernel_available(RotateKernel kernel);

// Rotates n_rows rows of k_dim half floats (k_dim a multiple of head_dim) from `source` to `target`
// in fp32. Both are row-major and dense; they may be equal, but must not overlap otherwise.
// The identity copies bit by bit.
void rotate_rows(const Rotation& rotation, const uint16_t* source, uint16_t* target, int64_t n_rows,
                 int32_t k_dim, RotateKernel kernel = best_rotate_kernel());

}  // namespace spolia
