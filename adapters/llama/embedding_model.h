#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "index/result.h"
#include "index/text_embedder.h"

namespace spolia {

struct EmbeddingModelOptions {
    int32_t n_threads = 0;     // 0: one a core
    int32_t n_gpu_layers = 0;  // as LlamaModelOptions::gpu_layers
    // Tokens of a text that are looked at together, at most; a model may have fewer. Memory grows
    // with it, by the size of the vocabulary.
    int32_t n_window_tokens = 512;
};

// An embedder that is a GGUF model, run by llama.cpp in this process. Vectors of a text's tokens
// are pooled as the model says; of a model that does not, such as one that generates text, their
// mean is taken. A text longer than the window is cut into windows, and gets the mean of their
// vectors, by their tokens: were it cut off, nobody would find what stands at its end. Zeros for a
// text without tokens. Texts are taken as they are: a model that wants a word such as "query:" in
// front does not get it.
//
// Threads that embed take turns. Fails as LlamaModel::load() does, with kUnsupported for a model
// that makes no vectors of texts, and with kOutOfMemory.
Result<std::unique_ptr<TextEmbedder>> open_embedding_model(const std::string& path,
                                                           const EmbeddingModelOptions& options);

}  // namespace spolia
