#pragma once

#include <cstdint>
#include <optional>

namespace spolia {

// Bytes that the system, and the container where there is one, can give without swapping; nullopt
// where neither says.
std::optional<uint64_t> available_memory();

}  // namespace spolia
