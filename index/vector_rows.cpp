#include "index/vector_rows.h"

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

#include "index/vector_code.h"

namespace spolia {

VectorRows::VectorRows(size_t n_dims, std::shared_ptr<VectorMemory> memory)
    : n_dims_(n_dims), code_bytes_(code_bytes(n_dims)), memory_(std::move(memory)) {}

Status VectorRows::start_block(size_t number) {
    Block& block = blocks_.at(number);
    const size_t n_rows = kFirstBlock << number;
    Result<VectorMemory::Floats> vectors = memory_->take(n_rows * n_dims_);
    if (!vectors) return vectors.error();
    try {
        block.codes = make_aligned_array<int8_t>(n_rows * code_bytes_);
        block.rows = std::make_unique_for_overwrite<Row[]>(n_rows);
    } catch (const std::bad_alloc&) {
        return Error{ErrorCode::kOutOfMemory, "no memory for more vectors"};
    }
    block.vectors = *std::move(vectors);
    return {};
}

Status VectorRows::append(const Key128& id, std::span<const float> vector) {
    assert(vector.size() == n_dims_);
    const Place place = place_of(size_);
    if (place.offset == 0) {
        if (Status started = start_block(place.block); !started) return started;
    }
    Block& block = blocks_[place.block];
    std::ranges::copy(vector, block.vectors.get() + place.offset * n_dims_);
    encode_vector(vector, block.codes.get() + place.offset * code_bytes_);
    block.rows[place.offset].id = id;
    ++size_;
    return {};
}

void VectorRows::remove(size_t row, uint64_t version) {
    const Place place = place_of(row);
    blocks_[place.block].rows[place.offset].removed_at.store(version, std::memory_order_relaxed);
}

}  // namespace spolia
