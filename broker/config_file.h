#pragma once

#include <filesystem>
#include <string_view>

#include "broker/config.h"

namespace spolia {

// The option of that key; null when there is none.
const ConfigOption* find_config_option(std::string_view key);

Status add_api_key(ServerConfig& server, std::string_view key, std::string_view tenant);

// Puts a TOML file's settings over those of `config`. Errors name the file and line.
Status apply_config_file(Config& config, const std::filesystem::path& path);

}  // namespace spolia
