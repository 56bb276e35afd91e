#pragma once

#include <string_view>

#include "broker/rag/document.h"
#include "index/result.h"

namespace spolia {

// Markdown, cut at its headings: "# Title", and lines underlined with = or -. What stands in a
// fenced block is no heading. The text stays as the author wrote it; a front matter is left out,
// and its `title` stands above all headings.
Result<Document> read_markdown(std::string_view text);

}  // namespace spolia
