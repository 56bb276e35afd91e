#pragma once

#include <filesystem>

#include "index/result.h"

namespace spolia {

// Where spolia keeps what it can make again: $SPOLIA_CACHE, else $XDG_CACHE_HOME/spolia, else
// ~/.cache/spolia.
std::filesystem::path cache_folder();

// The timing model: Qwen2-0.5B's shape with random weights (about 440 MB), written on first use.
Result<std::filesystem::path> timing_model();

}  // namespace spolia
