#include "reuse/rotate_kernels.h"

namespace spolia {

void rotate_heads_scalar(const Rotation& rotation, const uint16_t* source, uint16_t* target,
                         int64_t n_heads) {
    for (int64_t head = 0; head < n_heads; ++head) {
        rotate_pairs(rotation, source, target, 0);
        pass_unrotated(rotation, source, target);
        source += rotation.head_dim();
        target += rotation.head_dim();
    }
}

}  // namespace spolia
