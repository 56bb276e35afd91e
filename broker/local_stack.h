#pragma once

#include <memory>

#include "adapters/llama/llama_engine.h"
#include "adapters/llama/model.h"
#include "broker/config.h"
#include "broker/service.h"
#include "index/result.h"

namespace spolia {

// A service on llama.cpp in this process, and the model that it borrows.
struct LocalStack {
    std::unique_ptr<LlamaModel> model;
    std::unique_ptr<Service> service;
};

// How the engine is opened for a configuration.
LlamaEngineOptions engine_options(const ModelConfig& config, const LlamaModel& model);

// Loads the model, which may take minutes.
Result<LocalStack> open_local_stack(const Config& config);

}  // namespace spolia
