#pragma once

#include <string>

#include "index/result.h"

namespace spolia {

// The text that a file's bytes are: UTF-8 without a byte order mark, its lines ended by line feeds.
// Bytes that are no UTF-8 become U+FFFD. kInvalidArgument: the bytes are no text, or UTF-16.
Result<std::string> plain_text(std::string bytes);

}  // namespace spolia
