#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "adapters/llama/model.h"
#include "index/result.h"

struct ggml_tensor;

namespace spolia {

// The loaded model's tensors by their GGUF name, borrowed from llama.cpp.
std::unordered_map<std::string, ggml_tensor*> model_tensors(const LlamaModel& model);

// Whether matrix products round their inputs to fewer bits, as ggml does for every type but f32.
bool products_round(const LlamaModel& model);

// One layer of a pre-norm decoder with gated SiLU feed-forward: llama, mistral, qwen2, qwen3.
struct LayerWeights {
    ggml_tensor* attn_norm = nullptr;
    ggml_tensor* q = nullptr;
    ggml_tensor* k = nullptr;
    ggml_tensor* v = nullptr;
    ggml_tensor* q_bias = nullptr;  // null where the model has none; so for all below
    ggml_tensor* k_bias = nullptr;
    ggml_tensor* v_bias = nullptr;
    ggml_tensor* q_norm = nullptr;
    ggml_tensor* k_norm = nullptr;
    ggml_tensor* attn_out = nullptr;
    ggml_tensor* attn_out_bias = nullptr;
    ggml_tensor* ffn_norm = nullptr;
    ggml_tensor* ffn_gate = nullptr;
    ggml_tensor* ffn_up = nullptr;
    ggml_tensor* ffn_down = nullptr;
    ggml_tensor* ffn_gate_bias = nullptr;
    ggml_tensor* ffn_up_bias = nullptr;
    ggml_tensor* ffn_down_bias = nullptr;
};

struct DecoderWeights {
    int32_t n_embd = 0;
    int32_t n_head = 0;
    int32_t n_head_kv = 0;
    int32_t head_dim = 0;
    int32_t n_vocab = 0;
    float norm_eps = 0.0f;
    float attention_scale = 0.0f;
    ggml_tensor* token_embd = nullptr;
    ggml_tensor* output_norm = nullptr;
    ggml_tensor* output = nullptr;
    ggml_tensor* output_bias = nullptr;
    std::vector<LayerWeights> layers;
};

// Binds the weights for a graph of our own. Fails with kUnsupported, saying what does not fit, for
// every architecture and every tensor that this graph does not reproduce exactly.
Result<DecoderWeights> bind_weights(const LlamaModel& model);

}  // namespace spolia
