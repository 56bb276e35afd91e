#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/result.h"

namespace spolia {

// The body of POST /v1/embeddings. Bytes that are not UTF-8 become U+FFFD.
std::string embeddings_body(std::string_view model, std::span<const std::string_view> texts);

// The vectors of the answer, n_dims floats for each text, in the texts' order whatever order the
// answer has. `n_dims` 0: as many as the first has. kCorrupt for anything else than a vector of
// finite numbers for each text, all of one length; the error says what is there.
Result<std::vector<float>> parse_embeddings(std::string_view body, size_t n_texts, size_t n_dims);

// What a server's answer says of a failure, in one line of bounded length.
std::string failure_text(std::string_view body);

}  // namespace spolia
