#include "index/vector_rows.h"

#include <algorithm>
#include <cassert>

namespace spolia {

void VectorRows::append(const Key128& id, std::span<const float> vector) {
    assert(vector.size() == n_dims_);
    const Place place = place_of(size_);
    Block& block = blocks_.at(place.block);
    if (place.offset == 0) {
        const size_t n_rows = kFirstBlock << place.block;
        // Uninitialized: memory that is never written is never taken.
        block.vectors = std::make_unique_for_overwrite<float[]>(n_rows * n_dims_);
        block.rows = std::make_unique_for_overwrite<Row[]>(n_rows);
    }
    std::ranges::copy(vector, block.vectors.get() + place.offset * n_dims_);
    block.rows[place.offset].id = id;
    ++size_;
}

void VectorRows::remove(size_t row, uint64_t version) {
    const Place place = place_of(row);
    blocks_[place.block].rows[place.offset].removed_at.store(version, std::memory_order_relaxed);
}

}  // namespace spolia
