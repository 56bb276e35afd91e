#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "adapters/openai/json_ranges.h"
#include "index/fingerprint.h"

namespace spolia {

struct PromptBlockOptions {
    size_t block_bytes = 512;
    size_t blocks_max = 4096;  // of longer prompts the front counts
};

// Keys of the blocks of a request's prompt, front to back. The prompt is what prompt_pieces() has,
// as bytes in which no two different prompts are alike; each key names all bytes up to its
// block's end, the last block being shorter. So two requests of one tenant share their first k keys
// where, and only where, their first k blocks are equal; two tenants share none. Empty where the
// body has no piece.
std::vector<Key128> prompt_blocks(std::string_view body, ByteRange root, std::string_view tenant,
                                  const PromptBlockOptions& options = {});

}  // namespace spolia
