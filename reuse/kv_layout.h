#pragma once

#include <cstddef>
#include <cstdint>

namespace spolia {

// Shape of one KV row: what one token leaves in the cache. Elements are IEEE half floats.
struct KvLayout {
    int32_t n_layer = 0;
    int32_t k_dim = 0;  // elements of a K row: KV heads x head size
    int32_t v_dim = 0;  // elements of a V row

    size_t k_row_bytes() const { return static_cast<size_t>(k_dim) * sizeof(uint16_t); }
    size_t v_row_bytes() const { return static_cast<size_t>(v_dim) * sizeof(uint16_t); }
    // Bytes of one token's K and V over all layers.
    size_t row_bytes() const {
        return static_cast<size_t>(n_layer) * (k_row_bytes() + v_row_bytes());
    }

    bool operator==(const KvLayout&) const = default;
};

}  // namespace spolia
