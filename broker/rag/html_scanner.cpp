#include "broker/rag/html_scanner.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>

#include "index/lines.h"

namespace spolia {
namespace {

constexpr size_t kNameBytesMax = 24;

// Up to their end tag they hold anything but HTML, and nothing to read.
constexpr std::string_view kRaw[] = {"script", "style", "xmp", "iframe", "noembed", "noframes"};

bool holds_no_html(std::string_view name) {
    return std::ranges::find(kRaw, name) != std::end(kRaw);
}

bool ends_name(char c) { return is_space(c) || c == '/' || c == '>'; }

class HtmlScanner {
public:
    HtmlScanner(std::string_view html, HtmlEvents& events) : rest_(html), events_(events) {}

    void scan() {
        while (!rest_.empty()) {
            const size_t text = next_markup();
            if (text > 0) events_.on_text(rest_.substr(0, text));
            rest_.remove_prefix(text);
            if (!rest_.empty()) take_markup();
        }
    }

private:
    // Where the next "<" stands that begins something.
    size_t next_markup() const {
        for (size_t at = rest_.find('<'); at != rest_.npos; at = rest_.find('<', at + 1)) {
            if (at + 1 == rest_.size()) break;
            const char next = rest_[at + 1];
            if (is_letter(next) || next == '/' || next == '!' || next == '?') return at;
        }
        return rest_.size();
    }

    void take_markup() {
        if (rest_.starts_with("<!--")) return skip_behind("-->", 4);
        if (rest_[1] == '!' || rest_[1] == '?') return skip_behind(">", 2);
        const bool closes = rest_[1] == '/';
        if (closes && (rest_.size() < 3 || !is_letter(rest_[2]))) return skip_behind(">", 2);
        rest_.remove_prefix(closes ? 2 : 1);
        std::array<char, kNameBytesMax> buffer;
        const std::string_view name = take_name(buffer);
        skip_attributes();
        if (closes) {
            events_.on_close(name);
        } else {
            events_.on_open(name);
            if (holds_no_html(name)) skip_raw(name);
        }
    }

    void skip_behind(std::string_view mark, size_t begin) {
        const size_t at = rest_.find(mark, begin);
        rest_.remove_prefix(at == rest_.npos ? rest_.size() : at + mark.size());
    }

    // Longer names than any that means something are cut.
    std::string_view take_name(std::array<char, kNameBytesMax>& buffer) {
        size_t n = 0;
        while (n < rest_.size() && !ends_name(rest_[n])) {
            if (n < buffer.size()) buffer[n] = to_lower(rest_[n]);
            ++n;
        }
        rest_.remove_prefix(n);
        return {buffer.data(), std::min(n, buffer.size())};
    }

    // Up to the tag's ">", which in quotes is part of a value.
    void skip_attributes() {
        char quote = '\0';
        bool value = false;  // behind "="
        for (size_t i = 0; i < rest_.size(); ++i) {
            const char c = rest_[i];
            if (quote != '\0') {
                if (c == quote) quote = '\0';
            } else if (c == '>') {
                return rest_.remove_prefix(i + 1);
            } else if (value && (c == '"' || c == '\'')) {
                quote = c;
            }
            if (!is_space(c)) value = c == '=' && quote == '\0';
        }
        rest_ = {};
    }

    void skip_raw(std::string_view name) {
        size_t end = rest_.find("</");
        while (end != rest_.npos && !closes_at(end, name)) end = rest_.find("</", end + 2);
        rest_.remove_prefix(std::min(end, rest_.size()));
    }

    bool closes_at(size_t at, std::string_view name) const {
        const std::string_view found = rest_.substr(at + 2, name.size() + 1);
        return found.size() > name.size() && ends_name(found.back()) &&
               std::ranges::equal(found.substr(0, name.size()), name, {}, to_lower);
    }

    std::string_view rest_;
    HtmlEvents& events_;
};

}  // namespace

void scan_html(std::string_view html, HtmlEvents& events) { HtmlScanner(html, events).scan(); }

}  // namespace spolia
