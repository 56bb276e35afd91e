#pragma once

#include <filesystem>

#include "index/result.h"

namespace spolia {

// The timing model: Qwen2-0.5B's shape with random weights (about 440 MB), written on first use.
Result<std::filesystem::path> timing_model();

// The sample model: a few megabytes that the program carries, written on first use. It answers
// questions about short notes and shows what reuse does to answers. Fails with kInvalidArgument
// where the program was built without it.
Result<std::filesystem::path> sample_model();

// The path of a model; of the sample model where it is empty.
Result<std::filesystem::path> model_or_sample(const std::filesystem::path& named);

}  // namespace spolia
