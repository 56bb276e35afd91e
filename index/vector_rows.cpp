#include "index/vector_rows.h"

#include <algorithm>
#include <cassert>

#include "index/vector_code.h"

namespace spolia {

VectorRows::VectorRows(size_t n_dims) : n_dims_(n_dims), code_bytes_(code_bytes(n_dims)) {}

void VectorRows::append(const Key128& id, std::span<const float> vector) {
    assert(vector.size() == n_dims_);
    const Place place = place_of(size_);
    Block& block = blocks_.at(place.block);
    if (place.offset == 0) {
        const size_t n_rows = kFirstBlock << place.block;
        block.vectors = make_large_array<float>(n_rows * n_dims_);
        block.codes = make_large_array<int8_t>(n_rows * code_bytes_);
        block.rows = std::make_unique_for_overwrite<Row[]>(n_rows);
    }
    std::ranges::copy(vector, block.vectors.get() + place.offset * n_dims_);
    encode_vector(vector, block.codes.get() + place.offset * code_bytes_);
    block.rows[place.offset].id = id;
    ++size_;
}

void VectorRows::remove(size_t row, uint64_t version) {
    const Place place = place_of(row);
    blocks_[place.block].rows[place.offset].removed_at.store(version, std::memory_order_relaxed);
}

}  // namespace spolia
