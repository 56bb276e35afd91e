#include "broker/rag/markdown_reader.h"

#include <algorithm>
#include <string>

#include "broker/rag/document_builder.h"
#include "index/lines.h"

namespace spolia {
namespace {

constexpr size_t kIndentMax = 3;  // deeper lines are code

// Takes the first line off a text, without its line feed.
std::string_view take_line(std::string_view& text) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
}

size_t indent_of(std::string_view line) {
    const size_t indent = std::min(line.find_first_not_of(' '), line.size());
    return indent < line.size() && line[indent] == '\t' ? kIndentMax + 1 : indent;
}

// How many marks a fence has at the line's start; 0 when it is none.
size_t fence_length(std::string_view content) {
    if (!content.starts_with("```") && !content.starts_with("~~~")) return 0;
    return std::min(content.find_first_not_of(content.front()), content.size());
}

// Without the marks that may close a heading: "## Title ##".
std::string_view atx_text(std::string_view content, int level) {
    content = trim_spaces(content.substr(static_cast<size_t>(level)));
    const size_t last = content.find_last_not_of('#');
    if (last == content.npos) return {};
    return content[last] == ' ' ? trim_spaces(content.substr(0, last)) : content;
}

class MarkdownReader {
public:
    explicit MarkdownReader(std::string_view text) : rest_(text) {}

    Result<Document> read() && {
        skip_front_matter();
        while (!rest_.empty()) take(take_line(rest_));
        flush();
        return std::move(builder_).finish();
    }

private:
    void skip_front_matter() {
        std::string_view ahead = rest_;
        if (take_line(ahead) != "---") return;
        std::string_view title;
        while (!ahead.empty()) {
            const std::string_view line = take_line(ahead);
            if (line.starts_with("title:")) title = trim_spaces(line.substr(6));
            if (line != "---") continue;
            if (title.size() > 1 && (title.front() == '"' || title.front() == '\'') &&
                title.back() == title.front()) {
                title = title.substr(1, title.size() - 2);
            }
            builder_.set_title(title);
            rest_ = ahead;
            return;
        }
    }

    void take(std::string_view line) {
        const bool indented = indent_of(line) > kIndentMax;
        const std::string_view content = indented ? std::string_view() : trim_spaces(line);
        const size_t fence = fence_length(content);
        if (fence_ > 0) {
            const bool closes = fence >= fence_ && content.front() == fence_mark_ &&
                                content.find_first_not_of(fence_mark_) == content.npos;
            if (closes) fence_ = 0;
        } else if (fence > 0) {
            fence_ = fence;
            fence_mark_ = content.front();
        } else if (take_heading(content)) {
            return;
        }
        flush();
        held_ = line;
        held_is_title_ = fence_ == 0 && fence == 0 && behind_blank_ && looks_like_title(content);
        behind_blank_ = trim_spaces(line).empty();
        has_held_ = true;
    }

    // The line that may turn out to be underlined is held back until the next one is seen.
    bool take_heading(std::string_view content) {
        const char mark = rule_mark(content);
        if (has_held_ && held_is_title_ && (mark == '=' || mark == '-')) {
            builder_.heading(mark == '=' ? 1 : 2, held_);
        } else if (const int level = heading_level(content); level > 0) {
            flush();
            builder_.heading(level, atx_text(content, level));
        } else {
            return false;
        }
        has_held_ = false;
        behind_blank_ = true;
        return true;
    }

    void flush() {
        if (!has_held_) return;
        builder_.text(held_);
        builder_.text("\n");
        has_held_ = false;
    }

    std::string_view rest_;
    DocumentBuilder builder_;
    std::string_view held_;  // the last line
    bool has_held_ = false;
    bool held_is_title_ = false;
    bool behind_blank_ = true;
    size_t fence_ = 0;  // marks of the open fence; 0: none is open
    char fence_mark_ = '\0';
};

}  // namespace

Result<Document> read_markdown(std::string_view text) { return MarkdownReader(text).read(); }

}  // namespace spolia
