#include "broker/rag/document_builder.h"

#include "index/lines.h"

namespace spolia {
namespace {

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// On one line, with single spaces.
std::string heading_text(std::string_view text) {
    std::string line;
    for (const char c : trim_spaces(text)) {
        if (!is_space(c)) {
            line += c;
        } else if (line.back() != ' ') {
            line += ' ';
        }
    }
    return std::string(trim_spaces(utf8_prefix(line, kHeadingBytesMax)));
}

}  // namespace

std::string_view utf8_prefix(std::string_view text, size_t bytes_max) {
    if (text.size() <= bytes_max) return text;
    size_t end = bytes_max;
    while (end > 0 && continues_character(text[end])) --end;
    return text.substr(0, end);
}

void DocumentBuilder::set_title(std::string_view title) { title_ = heading_text(title); }

void DocumentBuilder::heading(int level, std::string_view text) {
    end_section();
    while (!open_.empty() && open_.back().first >= level) open_.pop_back();
    std::string line = heading_text(text);
    if (!line.empty() && (line != title_ || !open_.empty())) open_.emplace_back(level, line);
}

void DocumentBuilder::end_section() {
    const std::string_view trimmed = trim_spaces(text_);
    if (!trimmed.empty() && document_.sections.size() == kSectionsMax) too_many_ = true;
    if (!trimmed.empty() && !too_many_) {
        DocumentSection section;
        if (!title_.empty()) section.headings.push_back(title_);
        for (const auto& [level, heading] : open_) section.headings.push_back(heading);
        if (trimmed.size() == text_.size()) {
            section.text = std::move(text_);
        } else {
            section.text = trimmed;
        }
        document_.sections.push_back(std::move(section));
    }
    text_.clear();
}

Result<Document> DocumentBuilder::finish() && {
    end_section();
    if (too_many_) {
        return invalid("it has more than " + std::to_string(kSectionsMax) +
                       " sections; cut it into several files");
    }
    return std::move(document_);
}

}  // namespace spolia
