#pragma once

#include <string_view>

#include "index/result.h"

namespace spolia {

// kInvalidArgument for anything but 1 to 64 letters, digits and -_. that start with no dot: names
// become names of files.
Status check_collection_name(std::string_view name);

}  // namespace spolia
