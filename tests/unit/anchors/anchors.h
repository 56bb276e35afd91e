#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "anchors/anchor.h"
#include "index/fingerprint.h"

namespace spolia::testing {

inline Key128 key_of(const std::string& name) { return hash_text(name); }

inline ContextChunk context_chunk(const std::string& name, ChunkWords words = {}) {
    return {key_of(name), std::make_shared<const ChunkWords>(std::move(words))};
}

inline Anchor make_anchor(const std::string& chunk, const std::vector<std::string>& context,
                          uint64_t bytes = 100) {
    Anchor anchor{.chunk = key_of(chunk), .block = {}, .context = {}, .bytes = bytes};
    for (const std::string& name : context) anchor.context.push_back(context_chunk(name));
    anchor.block = anchor_key(anchor.chunk, anchor.context);
    return anchor;
}

}  // namespace spolia::testing
