#pragma once

#include <chrono>
#include <cstdint>

namespace spolia {

// Microseconds from `start` to now.
inline int64_t us_since(std::chrono::steady_clock::time_point start) {
    const auto elapsed = std::chrono::steady_clock::now() - start;
    return std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count();
}

}  // namespace spolia
