#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>

#include "index/aligned_array.h"
#include "index/fingerprint.h"
#include "index/result.h"
#include "index/vector_memory.h"

namespace spolia {

// Vectors in the order in which they came. One thread at a time appends and removes; others read
// meanwhile the rows that they know of, as of a version that they know of: whoever writes hands out
// number of rows and version (under a lock, say) after the write. Rows never move, and a removed
// one stays where it is. Each vector is there twice: as it came, and as its code.
class VectorRows {
public:
    VectorRows(size_t n_dims, std::shared_ptr<VectorMemory> memory);

    size_t n_dims() const { return n_dims_; }
    // For the writer.
    size_t size() const { return size_; }
    // Fails, with nothing changed, where VectorMemory::take() does.
    Status append(const Key128& id, std::span<const float> vector);
    // The row is gone as of `version`.
    void remove(size_t row, uint64_t version);

    const float* vector(size_t row) const {
        const Place place = place_of(row);
        return blocks_[place.block].vectors.get() + place.offset * n_dims_;
    }
    // See vector_code.h. On a cache line of its own.
    const int8_t* code(size_t row) const {
        const Place place = place_of(row);
        return blocks_[place.block].codes.get() + place.offset * code_bytes_;
    }
    const Key128& id(size_t row) const {
        const Place place = place_of(row);
        return blocks_[place.block].rows[place.offset].id;
    }
    bool alive(size_t row, uint64_t version) const {
        const Place place = place_of(row);
        return blocks_[place.block].rows[place.offset].removed_at.load(std::memory_order_relaxed) >
               version;
    }

private:
    struct Row {
        Key128 id;
        std::atomic<uint64_t> removed_at{std::numeric_limits<uint64_t>::max()};
    };
    // Block b has kFirstBlock << b rows, so that few vectors take little and many need no table.
    static constexpr size_t kFirstBlock = 16;
    struct Block {
        VectorMemory::Floats vectors;
        AlignedArray<int8_t> codes;
        std::unique_ptr<Row[]> rows;
    };
    struct Place {
        size_t block, offset;
    };
    static Place place_of(size_t row) {
        const auto block = static_cast<size_t>(std::bit_width(row / kFirstBlock + 1)) - 1;
        return {block, row - kFirstBlock * ((size_t{1} << block) - 1)};
    }

    Status start_block(size_t number);

    const size_t n_dims_, code_bytes_;
    const std::shared_ptr<VectorMemory> memory_;
    size_t size_ = 0;
    std::array<Block, 32> blocks_;
};

}  // namespace spolia
