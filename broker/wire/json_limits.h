#pragma once

#include <cstdint>

namespace spolia {

// What a request's JSON may cost. The number of members bounds the time to look one up, the number
// of values the memory that a body of permitted size grows to.
struct JsonLimits {
    int32_t depth_max = 64;
    int32_t members_max = 1024;      // of one object
    int32_t values_max = 2'000'000;  // of the whole body
};

}  // namespace spolia
