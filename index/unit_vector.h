#pragma once

#include <cmath>
#include <span>

namespace spolia {

// Scales a vector to length 1; zeros stay zeros. False, and the vector as it was, where a number in
// it is not finite.
inline bool make_unit(std::span<float> vector) {
    double square = 0;
    for (const float x : vector) square += double{x} * x;
    if (!std::isfinite(square)) return false;
    const double length = std::sqrt(square);
    if (length == 0) return true;
    for (float& x : vector) x = static_cast<float>(x / length);
    return true;
}

// Whether a vector is of length 1, up to rounding, or all zeros.
inline bool is_unit_or_zeros(std::span<const float> vector) {
    double square = 0;
    for (const float x : vector) square += double{x} * x;
    return square == 0 || std::abs(square - 1) < 1e-3;
}

}  // namespace spolia
