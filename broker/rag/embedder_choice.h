#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "index/result.h"
#include "index/text_embedder.h"

namespace spolia {

// Which embedder makes the vectors of collections: a GGUF model, a server, or where neither is
// named the one that needs nothing (index/hashed_embedder).
struct EmbedderChoice {
    std::filesystem::path model;
    std::string url;        // of an OpenAI-compatible server
    std::string name;       // of its model
    std::string key_env;    // the environment variable that holds its key; empty: it wants none
    int32_t n_threads = 0;  // of the GGUF model; 0: as EmbedderUse says
    int32_t n_gpu_layers = 0;
};

enum class EmbedderUse {
    // Many texts, and nothing else to do: a thread a core, and patience with a busy server.
    kIngest,
    // A query now and then, beside an engine: one thread, since OpenMP slows all down once the
    // teams of all threads that compute have more workers than there are cores; and somebody waits.
    kServe,
};

// Whether what is named goes together.
Status check_embedder_choice(const EmbedderChoice& choice);

// Loads the model, or asks the server once.
Result<std::unique_ptr<TextEmbedder>> open_embedder(const EmbedderChoice& choice, EmbedderUse use);

}  // namespace spolia
