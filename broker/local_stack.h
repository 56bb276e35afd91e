#pragma once

#include <memory>

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

// Loads the model, which may take minutes.
Result<LocalStack> open_local_stack(const Config& config);

}  // namespace spolia
