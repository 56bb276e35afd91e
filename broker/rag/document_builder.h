#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/rag/document.h"
#include "index/result.h"

namespace spolia {

// The whole characters of a text's first bytes.
std::string_view utf8_prefix(std::string_view text, size_t bytes_max);

// Puts a document together from headings and text in the order of the file.
class DocumentBuilder {
public:
    // Stands above all headings; the first heading of the same words is not repeated.
    void set_title(std::string_view title);
    // Ends the section above. Level 1 is the highest.
    void heading(int level, std::string_view text);
    void text(std::string_view text) { text_ += text; }

    // kInvalidArgument: more than kSectionsMax sections.
    Result<Document> finish() &&;

private:
    void end_section();

    std::string title_;
    std::vector<std::pair<int, std::string>> open_;  // headings by level, ascending
    std::string text_;
    Document document_;
    bool too_many_ = false;
};

}  // namespace spolia
