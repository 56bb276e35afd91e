#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "index/result.h"
#include "reuse/kv_layout.h"

namespace spolia {

// A sequence's KV as llama.cpp writes it, in memory (adapters/llama) and in files
// (adapters/llama_server), for caches with untransposed half floats. Little endian; behind the head
// of either:
//
//   u32 n_stream, then per stream: u32 cells; nothing more for empty streams
//   per cell: i32 position, u32 1, i32 sequence
//   u32 v_trans = 0, u32 n_layer
//   per layer: i32 type (f16 = 1), u64 row bytes, K rows; then the same for V
//
// K is stored behind RoPE, at its position. What is written has its cells in the first stream,
// which llama.cpp restores into whichever sequence it is asked to.
class KvStateForm {
public:
    KvStateForm() = default;
    KvStateForm(const KvLayout& layout, int32_t n_stream, int32_t n_rows);

    int32_t n_rows() const { return n_rows_; }
    size_t bytes() const { return size_; }
    // Up to the first layer, and all behind the last one: what is not rows or their heads.
    size_t header_bytes() const { return header_bytes_; }
    size_t tail_begin() const;
    static constexpr size_t kLayerHeaderBytes = sizeof(int32_t) + sizeof(uint64_t);

    // Where the rows of a layer begin, n_rows x k_dim (v_dim) half floats; 2-byte aligned only.
    size_t k_begin(int32_t layer) const;
    size_t v_begin(int32_t layer) const;

    // Everything but the rows, for rows at positions 0 .. n_rows - 1, to a state that begins at
    // `state`.
    void write_frame(std::byte* state) const;

private:
    KvLayout layout_;
    int32_t n_stream_ = 0;
    int32_t n_rows_ = 0;
    size_t header_bytes_ = 0;
    size_t size_ = 0;
};

// Where things stand in a state that somebody else wrote.
struct KvState {
    int32_t n_stream = 0;
    std::vector<int32_t> positions;  // of the rows, in their order
    std::vector<size_t> k, v;        // where the rows of each layer begin
};

// kUnsupported, with what differs, where the state is none of the form above: another type of
// cache, transposed V, more than one sequence, cells with extensions, missing or surplus bytes.
Result<KvState> parse_kv_state(std::span<const std::byte> state, const KvLayout& layout);

// That a state is not of the form above.
Error other_kv_state(const std::string& what);

}  // namespace spolia
