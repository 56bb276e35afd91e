#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace spolia {

// Causal attention of scattered rows over a KV cache, on the CPU.
//
// ggml's own kernel takes a mask of rows x cells and works through one query head at a time. Here
// a row's position is all the mask there is, and the query heads that share a KV head are computed
// together, so that a tile of K and V is widened to fp32 once for all of them. Online softmax over
// tiles of keys (FlashAttention, arXiv 2205.14135), all sums in fp32.
struct AttentionInput {
    int32_t head_dim = 0;
    int32_t n_head = 0;
    int32_t n_head_kv = 0;  // divides n_head
    float scale = 1.0f;     // of the scores, usually 1/sqrt(head_dim)

    int32_t n_rows = 0;
    const float* q = nullptr;            // [n_rows][n_head][head_dim], dense
    const int32_t* positions = nullptr;  // [n_rows] ascending; row r sees cells 0 .. positions[r]
    const uint16_t* k = nullptr;         // half floats, [cell][n_head_kv][head_dim]
    const uint16_t* v = nullptr;
    size_t k_stride = 0;  // elements from one cell to the next
    size_t v_stride = 0;
    float* out = nullptr;  // [n_rows][n_head][head_dim], dense
};

// Whether the kernels take heads of this size.
bool tiled_attention_supports(int32_t head_dim, int32_t n_head, int32_t n_head_kv);

// Independent pieces of work that the call splits into.
int32_t tiled_attention_items(const AttentionInput& input);

// Bytes of scratch that one thread needs.
size_t tiled_attention_scratch_bytes(const AttentionInput& input);

// Computes items [first, last). `scratch` is aligned to 64 bytes.
void tiled_attention(const AttentionInput& input, int32_t first, int32_t last, std::byte* scratch);

// Name of the kernel that this processor runs, for reports.
std::string_view tiled_attention_kernel();

// The functions above for one instruction set.
struct TiledAttentionKernel {
    std::string_view name;
    int32_t width;  // floats of a vector; head_dim is a multiple of it
    int32_t (*items)(const AttentionInput&);
    size_t (*scratch_bytes)(const AttentionInput&);
    void (*attend)(const AttentionInput&, int32_t first, int32_t last, std::byte* scratch);
};

// Those that this processor runs, best first: the functions above are the first one's.
std::span<const TiledAttentionKernel> tiled_attention_kernels();

}  // namespace spolia
