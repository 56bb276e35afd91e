#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "broker/cli/open_model.h"
#include "broker/quality/prompt.h"
#include "broker/quality/task_file.h"
#include "index/result.h"

namespace spolia {

// A model opened for the prompts of some tasks.
struct QualityModel : OpenModel {
    std::vector<QualityPrompt> prompts;

    int32_t longest_prompt() const;  // tokens
};

struct QualityModelOptions {
    std::filesystem::path path;
    int n_gpu_layers = 0;
    int n_threads = 1;
    int answer_tokens_max = 32;
    int prompts_of_kind_max = 0;  // 0: all
};

Result<QualityModel> open_quality_model(const QualityModelOptions& options,
                                        const std::vector<QualityTask>& tasks);

}  // namespace spolia
