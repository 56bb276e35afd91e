#include "adapters/llama/dense_batches.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace spolia {
namespace {

constexpr int32_t kAttentionTile = 64;

}  // namespace

DenseBatches::DenseBatches(int32_t n_ubatch) : rows_max_(n_ubatch), tile_(kAttentionTile) {
    assert(n_ubatch >= kRowsMin);
    if (n_ubatch < 2 * kAttentionTile) {
        rows_max_ = std::min(n_ubatch, kAttentionTile - 1);
        tile_ = static_cast<int32_t>(std::bit_floor(static_cast<uint32_t>(rows_max_) / 2));
    }
}

int32_t DenseBatches::size(int32_t position, int32_t n) const {
    if (n <= rows_max_) return n;
    // What is left behind the batch must not be less than a tile.
    const int32_t end = position + std::min(rows_max_, n - tile_);
    return end - end % tile_ - position;
}

}  // namespace spolia
