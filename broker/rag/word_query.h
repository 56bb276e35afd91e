#pragma once

#include <string>
#include <string_view>

namespace spolia {

// A query of SQLite's FTS5 for any of a text's words, each in quotes, so that no text means
// anything else; the first 64 of them. Empty for a text without words.
std::string word_query(std::string_view text);

}  // namespace spolia
