#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "index/token.h"

namespace spolia {

// A 128-bit XXH3 hash. Keys find candidates; a hit is believed only after token ids compare equal.
struct Key128 {
    uint64_t high = 0;
    uint64_t low = 0;

    auto operator<=>(const Key128&) const = default;

    // 32 lower-case hexadecimal digits, most significant first.
    std::string hex() const;
    // The inverse of hex(); nullopt for anything but 32 hexadecimal digits.
    static std::optional<Key128> from_hex(std::string_view text);
};

struct Key128Hash {
    size_t operator()(const Key128& key) const { return static_cast<size_t>(key.low); }
};

// Plain XXH3-128 of the bytes. Also the checksum of everything that is written to disk.
Key128 hash_bytes(std::span<const std::byte> bytes);
Key128 hash_text(std::string_view text);

// Everything beside the token ids that a key depends on. Two tenants, or two models, never share
// a key.
struct KeyScope {
    Key128 model;
    std::string tenant_salt;
};

// Key of the scope itself: tells whose something is without naming them.
Key128 scope_key(const KeyScope& scope);

// Key of a chunk: (model, salt, ids). Independent of where the chunk stands.
Key128 chunk_key(const KeyScope& scope, std::span<const Token> tokens);

// Key of one page of a prompt's prefix, which names everything before it as well: (model, salt,
// key of the page before, ids). `previous` is Key128{} for the first page.
Key128 chain_key(const KeyScope& scope, const Key128& previous, std::span<const Token> tokens);

}  // namespace spolia
