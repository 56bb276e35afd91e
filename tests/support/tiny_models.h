#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "adapters/llama/kv_tensors.h"
#include "adapters/llama/llama_engine.h"
#include "adapters/llama/model.h"
#include "adapters/llama/random_model.h"
#include "adapters/llama/rope_params.h"
#include "adapters/llama/sequence_cache.h"

struct llama_context;

namespace spolia::testing {

// A folder of this process's own, removed when it ends.
const std::string& temporary_folder();

// Path of a GGUF of the shape and the model loaded from it. Both are made once a process.
std::string tiny_model_path(const RandomModelShape& shape);
const LlamaModel& tiny_model(const RandomModelShape& shape);
const LlamaModel& tiny_model(const std::string& architecture);

// 256 rows, 3 sequences, batches of 64 rows; one thread, since more only wait for each other here.
LlamaEngineOptions tiny_engine_options();
// Null, with a test failure, where the engine can't be made.
std::unique_ptr<LlamaEngine> make_engine(const LlamaModel& model,
                                         const LlamaEngineOptions& options = tiny_engine_options());

// A llama context with the parts that stand between it and the engine. Sequences are empty.
struct TinyContext {
    TinyContext(const LlamaModel& model, int32_t n_sequences, int32_t n_ctx);
    ~TinyContext();
    TinyContext(const TinyContext&) = delete;
    TinyContext& operator=(const TinyContext&) = delete;

    KvLayout layout;
    LlamaRope rope;
    KvTensors tensors;
    llama_context* context = nullptr;
    std::unique_ptr<SequenceCache> cache;
};

// Ordinary tokens of a tiny model's vocabulary.
std::vector<Token> random_tokens(std::mt19937& generator, int32_t n);

int32_t argmax(std::span<const float> logits);

}  // namespace spolia::testing
