#include "reuse/rope.h"

#include <cassert>
#include <cmath>
#include <cstring>

#include "reuse/rotate_kernels.h"

namespace spolia {

Rotation::Rotation(const RopeSpec& spec, int32_t delta) { reset(spec, delta); }

void Rotation::reset(const RopeSpec& spec, int32_t delta) {
    assert(spec.n_rot >= 0 && spec.n_rot <= spec.head_dim && spec.n_rot % 2 == 0);
    assert(spec.pairs == RopePairs::kNone ||
           spec.inv_freq.size() == static_cast<size_t>(spec.n_rot / 2));
    pairs_ = spec.pairs;
    head_dim_ = spec.head_dim;
    n_rot_ = spec.pairs == RopePairs::kNone ? 0 : spec.n_rot;
    identity_ = n_rot_ == 0 || delta == 0;
    const auto n_pairs = static_cast<size_t>(n_rot_ / 2);
    cosines_.resize(n_pairs);
    sines_.resize(n_pairs);
    for (size_t i = 0; i < n_pairs; ++i) {
        // Far from the origin an angle needs all of a double's bits: at position 10^6 a float would
        // be off by 0.03. The library reduces the range exactly.
        const double angle = static_cast<double>(delta) * spec.inv_freq[i];
        cosines_[i] = static_cast<float>(std::cos(angle));
        sines_[i] = static_cast<float>(std::sin(angle));
    }
}

std::string_view to_string(RotateKernel kernel) {
    switch (kernel) {
        case RotateKernel::kScalar: return "scalar";
        case RotateKernel::kAvx2: return "avx2";
        case RotateKernel::kAvx512: return "avx512";
    }
    return "unknown";
}

bool kernel_available(RotateKernel kernel) {
#if defined(__x86_64__)
    switch (kernel) {
        case RotateKernel::kScalar: return true;
        case RotateKernel::kAvx2: return __builtin_cpu_supports("avx2");  // F16C came before it
        case RotateKernel::kAvx512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl");
    }
    return false;
#else
    return kernel == RotateKernel::kScalar;
#endif
}

RotateKernel best_rotate_kernel() {
    static const RotateKernel best = [] {
        for (const RotateKernel kernel : {RotateKernel::kAvx512, RotateKernel::kAvx2}) {
            if (kernel_available(kernel)) {
                return kernel;
            }
        }
        return RotateKernel::kScalar;
    }();
    return best;
}

void rotate_rows(const Rotation& rotation, const uint16_t* source, uint16_t* target, int64_t n_rows,
                 int32_t k_dim, RotateKernel kernel) {
    assert(n_rows >= 0 && k_dim >= 0 && kernel_available(kernel));
    if (rotation.identity()) {
        if (source != target) {
            std::memcpy(
                target, source,
                static_cast<size_t>(n_rows) * static_cast<size_t>(k_dim) * sizeof(uint16_t));
        }
        return;
    }
    assert(k_dim % rotation.head_dim() == 0);
    const int64_t n_heads = n_rows * (k_dim / rotation.head_dim());
#if defined(__x86_64__)
    if (kernel == RotateKernel::kAvx512) {
        return rotate_heads_avx512(rotation, source, target, n_heads);
    }
    if (kernel == RotateKernel::kAvx2) {
        return rotate_heads_avx2(rotation, source, target, n_heads);
    }
#endif
    rotate_heads_scalar(rotation, source, target, n_heads);
}

}  // namespace spolia
