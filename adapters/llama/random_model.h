#pragma once

#include <cstdint>
#include <string>

#include "index/result.h"

namespace spolia {

// Shape of a model with random weights, for timing and for tests. Defaults are those of
// Qwen2-0.5B with a smaller vocabulary.
struct RandomModelShape {
    std::string architecture = "qwen2";  // llama | qwen2 | qwen3 | granite (no fused pass)
    int32_t n_layer = 24;
    int32_t n_embd = 896;
    int32_t n_head = 14;
    int32_t n_head_kv = 2;
    int32_t head_dim = 64;
    int32_t n_ff = 4864;
    int32_t n_vocab = 32000;  // >= kRandomVocabMin
    int32_t n_ctx_train = 32768;
    float rope_base = 1000000.0f;
    // Rotary scaling as GGUF names it: "" (none), "linear", "yarn", "longrope"; factor and original
    // context.
    std::string rope_scaling;
    float rope_scale_factor = 1.0f;
    int32_t rope_orig_ctx = 0;
    bool rope_freq_factors = false;  // adds rope_freqs.weight (llama only)
    bool quantised = true;           // matrices as Q8_0; else F32
    uint64_t seed = 1;
};

// Special tokens, the 256 byte tokens and printable ASCII.
inline constexpr int32_t kRandomVocabMin = 512;

// The tiny shape that tests use: 4 layers, 64 or 128 wide, f32.
RandomModelShape tiny_model_shape(const std::string& architecture);

// Writes a GGUF of the shape. Its tokenizer is SentencePiece with byte fallback, and every text has
// tokens. Its metadata names it random ("spolia.random_weights" = true), which ModelInfo and all
// tables repeat. Written to a temporary name and renamed.
Status write_random_model(const RandomModelShape& shape, const std::string& path);

}  // namespace spolia
