#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/result.h"
#include "reuse/kv_layout.h"

struct ggml_tensor;
struct llama_context;

namespace spolia {

// One layer's K and V rows of one sequence: matrices [cell][dim] of half floats. With one stream a
// sequence (kv_unified = false) row r of a sequence is cell r, as long as the sequence holds the
// positions 0 .. n-1.
struct KvSlab {
    ggml_tensor* k = nullptr;  // the backing tensor
    ggml_tensor* v = nullptr;
    size_t k_offset = 0;  // bytes from the tensor's start to the sequence's cell 0
    size_t v_offset = 0;
};

// The tensors that back a llama context's KV cache. llama.cpp's API does not hand them out; they
// are seen in its compute graph, where the context's evaluation callback shows every node.
// Borrowed: valid as long as the context.
class KvTensors {
public:
    // Give both to llama_context_params before the context is made.
    static bool on_eval(ggml_tensor* node, bool ask, void* self);

    // After one llama_decode: checks that K and V tensors of every layer were seen, with the shape
    // of `layout` in half floats and one stream a sequence.
    Status complete(const KvLayout& layout, int32_t n_sequences, int32_t n_cells);

    int32_t n_layer() const { return static_cast<int32_t>(k_.size()); }
    KvSlab slab(int32_t layer, int32_t sequence) const;
    // Whether the CPU may read and write the rows directly.
    bool on_host() const { return on_host_; }

    // Copies rows between host memory (dense, as in KvBlock) and the cache.
    void read(int32_t layer, int32_t sequence, int32_t row, std::span<uint16_t> k,
              std::span<uint16_t> v) const;

private:
    void keep(ggml_tensor* root);

    std::vector<ggml_tensor*> k_;
    std::vector<ggml_tensor*> v_;
    bool on_host_ = false;
    bool complete_ = false;
};

}  // namespace spolia
