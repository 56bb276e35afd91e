#pragma once

#include <string_view>
#include <vector>

#include "index/result.h"
#include "index/token.h"

struct llama_vocab;

namespace spolia {

// A text's tokens. kInvalidArgument for a text of more than 64 MiB, or one that llama.cpp refuses.
Result<std::vector<Token>> token_ids(const llama_vocab* vocab, std::string_view text,
                                     bool add_special, bool parse_special);

}  // namespace spolia
