#pragma once

#include <filesystem>
#include <memory>

#include "adapters/llama/llama_engine.h"
#include "adapters/llama/model.h"
#include "adapters/llama/text_model.h"
#include "index/result.h"

namespace spolia {

// A model and its text side, and an engine on it once that is known to be large enough.
struct OpenModel {
    std::unique_ptr<LlamaModel> model;
    std::unique_ptr<LlamaTextModel> text;
    std::unique_ptr<LlamaEngine> engine;  // null until open_engine()

    Status open(const std::filesystem::path& path, int n_gpu_layers);
    Status open_engine(const LlamaEngineOptions& options);
};

}  // namespace spolia
