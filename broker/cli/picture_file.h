#pragma once

#include <filesystem>
#include <string>

#include "index/result.h"

namespace spolia {

// Whether a picture can be written to `path`, which ends in .svg or .png. A PNG takes the program
// rsvg-convert. Asked before a long run, so that its picture is not lost.
Status check_picture_file(const std::filesystem::path& path);

Status write_picture_file(const std::filesystem::path& path, const std::string& svg);

}  // namespace spolia
