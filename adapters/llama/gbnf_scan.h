#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace spolia {

// What is wrong with a grammar in llama.cpp's GBNF, as far as a look at its words can tell: a
// missing root rule, a rule that is used but not there, an open string or bracket. llama.cpp
// itself only says that it refuses.
std::optional<std::string> gbnf_problem(std::string_view grammar);

// How deep the grammar's parentheses go. llama.cpp's parser recurses into them.
int gbnf_depth(std::string_view grammar);

}  // namespace spolia
