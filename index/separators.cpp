#include "index/separators.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "index/lines.h"

namespace spolia {
namespace {

constexpr size_t kTagBytesMax = 256;   // attributes included
constexpr size_t kRuleBytesMax = 160;  // of a line such as "--- part 2 ---"
constexpr size_t kLabelDigitsMax = 4;
constexpr size_t kWordBytesMax = 24;  // of any tag's or label's name

// Names of tags that hold one document, or a list of them. Not those of common HTML.
constexpr std::array<std::string_view, 20> kTagNames = {
    "chunk",   "chunks",        "context",          "contexts",          "doc",
    "docs",    "document",      "document_content", "document_contents", "documents",
    "excerpt", "file",          "passage",          "passages",          "result",
    "results", "search_result", "search_results",   "snippet",           "source"};

constexpr std::array<std::string_view, 13> kLabelNames = {
    "article", "chunk",   "context",   "doc",    "document", "excerpt", "file",
    "item",    "passage", "reference", "result", "snippet",  "source"};

template <size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// Takes a text apart from its front.
class Scanner {
public:
    explicit Scanner(std::string_view text) : text_(text) {}

    size_t taken() const { return taken_; }
    bool at_end() const { return taken_ == text_.size(); }
    char peek() const { return at_end() ? '\0' : text_[taken_]; }

    bool take(std::string_view any_of) {
        if (at_end() || any_of.find(peek()) == std::string_view::npos) return false;
        ++taken_;
        return true;
    }
    template <class Predicate>
    std::string_view take_while(Predicate matches, size_t bytes_max) {
        const size_t begin = taken_;
        while (!at_end() && taken_ - begin < bytes_max && matches(peek())) ++taken_;
        return text_.substr(begin, taken_ - begin);
    }

private:
    std::string_view text_;
    size_t taken_ = 0;
};

bool is_tag_letter(char byte) { return (byte >= 'a' && byte <= 'z') || byte == '_'; }

// Bytes of the document tag that `text` starts with; 0 when there is none.
size_t tag_length(std::string_view text) {
    Scanner scanner(text);
    if (!scanner.take("<")) return 0;
    scanner.take("/");
    if (!contains(kTagNames, scanner.take_while(is_tag_letter, kWordBytesMax))) return 0;
    if (scanner.peek() != '>' && scanner.peek() != '/' && !is_space(scanner.peek())) return 0;
    scanner.take_while([](char byte) { return byte != '>' && byte != '<'; }, kTagBytesMax);
    return scanner.take(">") ? scanner.taken() : 0;
}

// Bytes of the numbered label that a line starts with; 0 when there is none. A number alone needs
// its brackets, a name with a number needs brackets or a mark that ends it.
size_t label_length(std::string_view line) {
    Scanner scanner(line);
    bool closed = false;
    const bool opened = scanner.take("[");
    std::string name(scanner.take_while(is_letter, kWordBytesMax));
    for (char& byte : name) byte = static_cast<char>(byte | 0x20);
    if (!name.empty()) {
        if (!contains(kLabelNames, name)) return 0;
        scanner.take_while(is_space, 2);
        scanner.take("#[(");
    } else if (!opened) {
        return 0;
    }
    if (scanner.take_while(is_digit, kLabelDigitsMax).empty()) return 0;
    closed = scanner.take("])");
    if (opened && !closed) return 0;
    if (name.empty()) {
        scanner.take(":");
        return scanner.at_end() || is_space(scanner.peek()) ? scanner.taken() : 0;
    }
    closed = scanner.take(":.") || closed;
    return closed || scanner.at_end() ? scanner.taken() : 0;
}

// A line of rule marks, perhaps with a text between them.
bool is_rule(std::span<const Line> lines, size_t i) {
    const std::string_view line = lines[i].content;
    if (rule_mark(line) != '\0') return !underlines_title(lines, i);
    if (line.size() > kRuleBytesMax) return false;
    return (line.starts_with("---") && line.ends_with("---")) ||
           (line.starts_with("===") && line.ends_with("==="));
}

// Tags and labels in one line. Labels and opening tags count at its start and behind other marks;
// within the line only a closing tag ends a document, because much text quotes the others.
void find_marks(std::string_view line, uint32_t offset, std::vector<TextRange>& found) {
    size_t at = 0;
    while (at < line.size()) {
        const std::string_view rest = line.substr(at);
        const size_t length = std::max(tag_length(rest), label_length(rest));
        if (length == 0) {
            at = std::min(line.find("</", at + 1), line.size());
            continue;
        }
        const uint32_t begin = offset + static_cast<uint32_t>(at);
        found.push_back({begin, begin + static_cast<uint32_t>(length)});
        at += length;
        while (at < line.size() && is_space(line[at])) ++at;
    }
}

}  // namespace

std::vector<TextRange> find_separators(std::string_view text) {
    const std::vector<Line> lines = split_lines(text);
    std::vector<TextRange> found;
    for (size_t i = 0; i < lines.size(); ++i) {
        const uint32_t begin = lines[i].content_begin;
        if (is_rule(lines, i)) {
            found.push_back({begin, begin + static_cast<uint32_t>(lines[i].content.size())});
        } else {
            find_marks(lines[i].content, begin, found);
        }
    }
    return found;
}

}  // namespace spolia
