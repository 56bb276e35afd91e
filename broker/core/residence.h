#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "index/fingerprint.h"
#include "index/token.h"

namespace spolia {

// Where a block is, seen from the planner.
enum class Residence : uint8_t {
    kAbsent,
    kQueued,       // not there, but it waits to be encoded, or is being encoded
    kUnavailable,  // it was there, and could not be brought into memory
    kDisk,
    kRam,
};
using FindResidence = std::function<Residence(const Key128& key, std::span<const Token> tokens)>;

inline bool present(Residence residence) {
    return residence == Residence::kDisk || residence == Residence::kRam;
}

}  // namespace spolia
