#include "index/fingerprint.h"

#include <array>
#include <bit>
#include <charconv>

#define XXH_STATIC_LINKING_ONLY  // for an XXH3 state on the stack
#include <xxhash.h>

namespace spolia {
namespace {

static_assert(std::endian::native == std::endian::little,
              "keys are stored on disk: they hash integers in little-endian order");

// First word of what a key hashes, so that keys of different kinds never hash the same bytes.
constexpr uint64_t kChunkDomain = 0x6b6e756863697073;  // "spichunk"
constexpr uint64_t kChainDomain = 0x6e69616863697073;  // "spichain"

Key128 from_xxh(const XXH128_hash_t& hash) { return {hash.high64, hash.low64}; }

// Hashes a header of fixed size, the salt, the ids. The header holds the salt's length, so no two
// different inputs give the same bytes. Stored keys depend on this layout.
Key128 scoped_key(uint64_t domain, const KeyScope& scope, const Key128& previous,
                  std::span<const Token> tokens) {
    const std::array<uint64_t, 6> header = {domain,          scope.model.high,
                                            scope.model.low, previous.high,
                                            previous.low,    scope.tenant_salt.size()};
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, header.data(), sizeof(header));
    XXH3_128bits_update(&state, scope.tenant_salt.data(), scope.tenant_salt.size());
    XXH3_128bits_update(&state, tokens.data(), tokens.size_bytes());
    return from_xxh(XXH3_128bits_digest(&state));
}

void append_hex(uint64_t word, std::string& text) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (int shift = 60; shift >= 0; shift -= 4) text += kDigits[(word >> shift) & 15];
}

std::optional<uint64_t> word_from_hex(std::string_view digits) {
    uint64_t word = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, word, 16);
    if (error != std::errc() || stop != end) return std::nullopt;
    return word;
}

}  // namespace

std::string Key128::hex() const {
    std::string text;
    text.reserve(32);
    append_hex(high, text);
    append_hex(low, text);
    return text;
}

std::optional<Key128> Key128::from_hex(std::string_view text) {
    if (text.size() != 32) return std::nullopt;
    const std::optional<uint64_t> high = word_from_hex(text.substr(0, 16));
    const std::optional<uint64_t> low = word_from_hex(text.substr(16));
    if (!high || !low) return std::nullopt;
    return Key128{*high, *low};
}

Key128 hash_bytes(std::span<const std::byte> bytes) {
    return from_xxh(XXH3_128bits(bytes.data(), bytes.size()));
}

Key128 hash_text(std::string_view text) { return hash_bytes(std::as_bytes(std::span(text))); }

// The chain key of a prefix without tokens: no page's.
Key128 scope_key(const KeyScope& scope) { return scoped_key(kChainDomain, scope, Key128{}, {}); }

Key128 chunk_key(const KeyScope& scope, std::span<const Token> tokens) {
    return scoped_key(kChunkDomain, scope, Key128{}, tokens);
}

Key128 chain_key(const KeyScope& scope, const Key128& previous, std::span<const Token> tokens) {
    return scoped_key(kChainDomain, scope, previous, tokens);
}

}  // namespace spolia
