#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "adapters/kv_state.h"
#include "index/result.h"
#include "reuse/kv_layout.h"

struct llama_context;

namespace spolia {

// A sequence's state as llama_state_seq_set_data() reads it: u32 magic 0xaf143cd8, i32 sequence,
// then what KvStateForm describes.
//
// The one staging copy of a sequence's KV: blocks are rotated into it and llama.cpp copies it into
// its cache. Kept between requests, grown when needed.
class StateBlob {
public:
    StateBlob(const KvLayout& layout, int32_t n_stream);

    // Lays out a state of `n_rows` rows at positions 0 .. n_rows - 1; the rows are uninitialised.
    // kOutOfMemory when the buffer can't grow.
    Status reset(int32_t n_rows);

    int32_t n_rows() const { return form_.n_rows(); }
    // All rows of one layer, row-major, n_rows x k_dim (v_dim) half floats; 2-byte aligned only.
    std::span<uint16_t> k(int32_t layer);
    std::span<uint16_t> v(int32_t layer);

    // The whole state, as llama_state_seq_get_data() writes it for sequence 0.
    std::span<const std::byte> bytes() const { return {bytes_.get(), size_}; }

    // Makes `sequence` of the context hold exactly these rows.
    Status hand_over(llama_context* context, int32_t sequence) const;

    size_t capacity_bytes() const { return capacity_; }

    // Checks that a state written by the context for `sequence`, whose rows are known to the
    // caller, has the form above: `n_rows` rows at positions 0 .. n_rows - 1, and where each row's
    // K and V of each layer stand. On success this holds those rows.
    Status parse(std::span<const std::byte> state, int32_t n_rows);

private:
    KvLayout layout_;
    int32_t n_stream_;
    KvStateForm form_;  // of what follows the head
    size_t size_ = 0;
    size_t capacity_ = 0;
    std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace spolia
