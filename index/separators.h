#pragma once

#include <string_view>
#include <vector>

#include "index/span_map.h"

namespace spolia {

// The marks by which prompts join documents, as ascending, disjoint ranges of the text:
//   a line of rule marks ("---", "===", "***", "___", "###", "--- part 2 ---"), unless it
//   underlines a title;
//   a tag of a document ("<doc>", "<document index="3">", "</passage>");
//   a numbered label at a line's start ("Document 3:", "[1]", "Source #2.", "Document [4](").
// A mark is no part of the documents that it separates: its number changes with their order.
// Markdown headings are no marks, because they belong to the text below them; see boundaries.h.
std::vector<TextRange> find_separators(std::string_view text);

}  // namespace spolia
