#pragma once

#include <string_view>

#include "broker/rag/document.h"
#include "index/result.h"

namespace spolia {

// What a page says, cut at its headings: paragraphs apart by a blank line, list items by a line
// break. Its <title> stands above all headings. Navigation, footers and scripts are left out.
Result<Document> read_html(std::string_view html);

}  // namespace spolia
