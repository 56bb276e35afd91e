#pragma once

#include <functional>
#include <memory>
#include <string>

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

// What a stack needs to know of a llama-server that it composes prompts for.
struct ServedElsewhere {
    std::string chat_template;   // that the server uses; empty: the model's own
    std::function<bool()> busy;  // see ServiceOptions::busy_elsewhere
    std::string name;            // see ServiceOptions::page_scope
};

// Loads the model, which may take minutes.
Result<LocalStack> open_local_stack(const Config& config, const ServedElsewhere& elsewhere = {});

}  // namespace spolia
