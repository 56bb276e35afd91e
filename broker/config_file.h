#pragma once

#include <filesystem>

#include "broker/config.h"

namespace spolia {

// Puts a TOML file's settings over those of `config`. Errors name the file and line.
Status apply_config_file(Config& config, const std::filesystem::path& path);

}  // namespace spolia
