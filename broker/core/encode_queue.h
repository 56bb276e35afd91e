#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "index/fingerprint.h"
#include "index/token.h"

namespace spolia {

// Chunks that prompts had and no tier has: to be encoded when the engine has nothing better to do.
// Seen most often goes first, because a chunk that came twice is the likeliest to come again; among
// equals the newest, because its conversation is still going on. When full, the least of them goes.
// A chunk stays here until its block is there. Not thread-safe.
class EncodeQueue {
public:
    explicit EncodeQueue(size_t chunks_max) : chunks_max_(chunks_max) {}

    struct Chunk {
        Key128 scope;  // scope_key() of the tenant's
        Key128 key;
        std::vector<Token> tokens;
        uint64_t n_seen = 1;
        uint64_t last_seen = 0;
    };

    // Counts a chunk that is there already.
    void add(const Key128& scope, const Key128& key, std::span<const Token> tokens);
    bool contains(const Key128& key) const;
    // The one to encode next.
    std::optional<Chunk> first() const;
    void remove(const Key128& key);

    size_t size() const { return chunks_.size(); }
    bool empty() const { return chunks_.empty(); }

private:
    std::vector<Chunk>::iterator find(const Key128& key);

    size_t chunks_max_;
    uint64_t clock_ = 0;
    std::vector<Chunk> chunks_;
};

}  // namespace spolia
