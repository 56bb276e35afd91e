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

// The engine that a configuration asks for. Where memory does not hold it, the error names the
// options that change this.
Result<std::unique_ptr<LlamaEngine>> open_engine(const ModelConfig& config,
                                                 const LlamaModel& model);

// Loads the model, which may take minutes.
Result<LocalStack> open_local_stack(const Config& config);

}  // namespace spolia
