#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/fingerprint.h"

namespace spolia {

// Rows in one page of a prefix chain.
inline constexpr int32_t kPrefixPageRows = 64;

// Keys of the whole pages of `tokens`, front to back: tokens.size() / kPrefixPageRows of them.
// Page i's key names all tokens up to the page's end.
std::vector<Key128> prefix_chain(const KeyScope& scope, std::span<const Token> tokens);

}  // namespace spolia
