#include "adapters/llama/dense_batches.h"

#include <algorithm>
#include <cassert>

namespace spolia {
namespace {

constexpr int32_t kAttentionTile = 64;
constexpr int32_t kProductRows = 4;

}  // namespace

DenseBatches::DenseBatches(int32_t n_ubatch) : rows_max_(n_ubatch), tile_(kAttentionTile) {
    assert(n_ubatch >= kRowsMin);
    if (n_ubatch < 2 * kAttentionTile) {
        rows_max_ = std::min(n_ubatch, kAttentionTile - 1);
        tile_ = rows_max_ / 2 / kProductRows * kProductRows;
    }
}

int32_t DenseBatches::size(int32_t position, int32_t n) const {
    if (n <= rows_max_) return n;
    // What is left behind the batch must not be less than a tile.
    const int32_t end = position + std::min(rows_max_, n - tile_);
    return end - end % tile_ - position;
}

}  // namespace spolia
