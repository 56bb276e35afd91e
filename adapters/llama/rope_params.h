#pragma once

#include <cstdint>

#include "adapters/llama/model.h"
#include "index/result.h"
#include "reuse/rope.h"

struct ggml_tensor;

namespace spolia {

// How the loaded model rotates Q and K: ggml_rope_ext()'s parameters, as llama.cpp derives them
// from the metadata with default context parameters, and the same as plain frequencies for moving
// rows.
struct LlamaRope {
    RopeSpec spec;
    int32_t mode = 0;  // ggml's rope type
    int32_t n_ctx_orig = 0;
    float freq_base = 10000.0f;
    float freq_scale = 1.0f;
    float ext_factor = 0.0f;
    float attn_factor = 1.0f;
    float beta_fast = 32.0f;
    float beta_slow = 1.0f;
    ggml_tensor* freq_factors = nullptr;  // borrowed from the model; null when it has none
};

// Fails with kUnsupported where a row can't be moved by one rotation: frequencies that depend on
// the prompt's length (LongRoPE, dynamic NTK), or rotations over several axes (M-RoPE).
Result<LlamaRope> read_rope(const LlamaModel& model, int32_t head_dim);

}  // namespace spolia
