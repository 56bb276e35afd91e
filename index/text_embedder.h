#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "index/fingerprint.h"
#include "index/result.h"

namespace spolia {

// Turns texts into vectors whose inner product tells how alike the texts are: 1 for the same text,
// about 0 for texts that have nothing to do with each other. May be used by any thread.
class TextEmbedder {
public:
    virtual ~TextEmbedder() = default;

    virtual int32_t n_dims() const = 0;
    // Of everything that a vector depends on but its text. Vectors of embedders with different
    // fingerprints are never compared.
    virtual Key128 fingerprint() const = 0;
    // A vector of n_dims() floats for each text, one behind the other. Each is of length 1, or all
    // zeros for a text that has nothing to go by. The text may be any bytes. Fails only where the
    // embedder depends on something that can fail (a model, a server).
    virtual Result<std::vector<float>> embed(std::span<const std::string_view> texts) const = 0;
};

}  // namespace spolia
