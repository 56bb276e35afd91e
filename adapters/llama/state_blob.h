#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "index/result.h"
#include "reuse/kv_layout.h"

struct llama_context;

namespace spolia {

// A sequence's state in the form that llama_state_seq_set_data() reads, for KV caches with
// untransposed half floats. Little endian:
//
//   u32 magic 0xaf143cd8, i32 sequence
//   u32 n_stream, then per stream: u32 cells; nothing more for empty streams
//   per cell: i32 position, u32 1, i32 sequence
//   u32 v_trans = 0, u32 n_layer
//   per layer: i32 type (f16 = 1), u64 row bytes, K rows; then the same for V
//
// The one staging copy of a sequence's KV: blocks are rotated into it and llama.cpp copies it into
// its cache. Kept between requests, grown when needed.
class StateBlob {
public:
    StateBlob(const KvLayout& layout, int32_t n_stream);

    // Lays out a state of `n_rows` rows at positions 0 .. n_rows - 1; the rows are uninitialised.
    // kOutOfMemory when the buffer can't grow.
    Status reset(int32_t n_rows);

    int32_t n_rows() const { return n_rows_; }
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
    size_t k_begin(int32_t layer) const;
    size_t v_begin(int32_t layer) const;
    void write_header();

    KvLayout layout_;
    int32_t n_stream_;
    int32_t n_rows_ = 0;
    size_t header_bytes_ = 0;
    size_t size_ = 0;
    size_t capacity_ = 0;
    std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace spolia
