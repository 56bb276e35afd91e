#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "anchors/anchor.h"
#include "index/fingerprint.h"

namespace spolia {

// What a pool knows, for the next process; the rows are in the block store. Layout, little endian:
// "SPOLANC1"; 16 bytes of model fingerprint (high, low); u32 number of context chunks, each with
// its key and u32 number of words, u64 each; u32 number of anchors, each with the keys of chunk and
// block, i32 depth, u64 bytes, u32 length of its context, u32 each: indices of context chunks; at
// last 16 bytes of hash_bytes() of all before.
std::string format_anchors(const Key128& model,
                           std::span<const std::shared_ptr<const Anchor>> anchors);

// nullopt: damaged, or of another model.
std::optional<std::vector<Anchor>> parse_anchors(std::string_view bytes, const Key128& model);

}  // namespace spolia
