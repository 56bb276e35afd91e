#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "index/result.h"

namespace spolia {

// Leaves a file at `path` that holds these bytes: writes it where there is none, or one that is not
// the same. Any number of processes may do so at a time; who opens the path sees a whole file.
Status keep_file(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace spolia
