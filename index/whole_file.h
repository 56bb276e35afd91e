#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "index/result.h"

namespace spolia {

// Replaces a file in one step: a crash leaves the old one or the new one. `content` names what is
// in it, for messages.
Status replace_file(const std::filesystem::path& path, std::string_view bytes,
                    std::string_view content);

// All bytes of a file; nullopt where it can't be opened.
std::optional<std::string> read_whole_file(const std::filesystem::path& path);

// Moves a file that can't be used out of the way, for a person to look at. Returns its new name.
std::filesystem::path set_file_aside(const std::filesystem::path& path);

}  // namespace spolia
