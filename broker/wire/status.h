#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/service.h"

namespace spolia {

std::string health_json();
// OpenAI's list of models, with the one that is served under `name` since `created` (Unix time).
std::string models_json(const ModelInfo& model, std::string_view name, int64_t created);
std::string stats_json(const ServiceStats& stats);
std::string plan_json(const PlanPreview& plan);

}  // namespace spolia
