#include "adapters/openai/json_scanner.h"

#include <cstring>

namespace spolia {
namespace {

bool is_digit_byte(char c) { return c >= '0' && c <= '9'; }

int hex_digit(char c) {
    if (is_digit_byte(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Length of a character by its first byte, with the range of its second byte (RFC 3629).
struct Utf8Form {
    int length = 0;  // 0: no character begins so
    uint8_t second_min = 0x80;
    uint8_t second_max = 0xBF;
};

Utf8Form utf8_form(uint8_t first) {
    if (first >= 0xC2 && first <= 0xDF) return {2};
    if (first == 0xE0) return {3, 0xA0, 0xBF};
    if (first == 0xED) return {3, 0x80, 0x9F};
    if (first >= 0xE1 && first <= 0xEF) return {3};
    if (first == 0xF0) return {4, 0x90, 0xBF};
    if (first >= 0xF1 && first <= 0xF3) return {4};
    if (first == 0xF4) return {4, 0x80, 0x8F};
    return {};
}

// Bytes that a string has as they are: printable ASCII but quotes and backslashes. Eight at a time;
// those that are left over are for the caller to look at.
size_t skip_plain(std::string_view text, size_t at) {
    constexpr uint64_t kOnes = 0x0101010101010101, kHighs = 0x8080808080808080;
    const auto has_zero = [](uint64_t bytes) { return (bytes - kOnes) & ~bytes & kHighs; };
    for (; at + sizeof(uint64_t) <= text.size(); at += sizeof(uint64_t)) {
        uint64_t bytes = 0;
        std::memcpy(&bytes, text.data() + at, sizeof bytes);
        const uint64_t control = (bytes - kOnes * 0x20) & ~bytes & kHighs;
        const uint64_t quote = has_zero(bytes ^ (kOnes * '"'));
        const uint64_t backslash = has_zero(bytes ^ (kOnes * '\\'));
        if (((bytes & kHighs) | control | quote | backslash) != 0) break;
    }
    return at;
}

}  // namespace

bool JsonScanner::fail(const char* reason) {
    reason_ = reason;
    return false;
}

bool JsonScanner::take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
}

void JsonScanner::white_space() {
    while (at_ < text_.size()) {
        const char c = text_[at_];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
        ++at_;
    }
}

bool JsonScanner::word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return fail("a value is none that JSON knows");
    at_ += word.size();
    return true;
}

bool JsonScanner::value() {
    white_space();
    if (at_ >= text_.size()) return fail("the text ends where a value should be");
    switch (text_[at_]) {
        case '{': return container('}');
        case '[': return container(']');
        case '"': return string();
        case 't': return word("true");
        case 'f': return word("false");
        case 'n': return word("null");
        default: return number();
    }
}

bool JsonScanner::member_key() {
    white_space();
    if (peek() != '"') return fail("a member has no name");
    if (!string()) return false;
    white_space();
    return take(':') || fail("a name is followed by no colon");
}

bool JsonScanner::container(char close) {
    if (depth_left_ == 0) return fail("values are nested too deep");
    --depth_left_;
    ++at_;
    white_space();
    if (!take(close)) {
        do {
            if (close == '}' && !member_key()) return false;
            if (!value()) return false;
            white_space();
        } while (take(','));
        if (!take(close)) return fail("a list of values ends neither with a comma nor its bracket");
    }
    ++depth_left_;
    return true;
}

bool JsonScanner::string() {
    ++at_;
    for (;;) {
        at_ = skip_plain(text_, at_);
        if (at_ == text_.size()) break;
        const auto c = static_cast<uint8_t>(text_[at_]);
        if (c == '"') {
            ++at_;
            return true;
        }
        if (c < 0x20) return fail("a control character in a string");
        if (c == '\\') {
            if (!escape()) return false;
        } else if (c < 0x80) {
            ++at_;
        } else if (!multibyte()) {
            return false;
        }
    }
    return fail("a string does not end");
}

bool JsonScanner::hex4(uint32_t& code) {
    code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
        const int digit = hex_digit(peek());
        if (digit < 0) return fail("\\u is followed by no four hexadecimal digits");
        code = code * 16 + static_cast<uint32_t>(digit);
    }
    return true;
}

bool JsonScanner::escape() {
    ++at_;
    if (take('u')) {
        uint32_t code = 0;
        if (!hex4(code)) return false;
        if (code < 0xD800 || code > 0xDFFF) return true;
        uint32_t low = 0;
        if (code > 0xDBFF || !take('\\') || !take('u')) return fail("half a surrogate pair");
        if (!hex4(low)) return false;
        return (low >= 0xDC00 && low <= 0xDFFF) || fail("half a surrogate pair");
    }
    if (at_ >= text_.size() || std::string_view("\"\\/bfnrt").find(text_[at_]) == text_.npos) {
        return fail("an escape that JSON does not know");
    }
    ++at_;
    return true;
}

bool JsonScanner::multibyte() {
    const Utf8Form form = utf8_form(static_cast<uint8_t>(text_[at_]));
    if (form.length == 0 || text_.size() - at_ < static_cast<size_t>(form.length)) {
        return fail("bytes that are not UTF-8");
    }
    const auto second = static_cast<uint8_t>(text_[at_ + 1]);
    if (second < form.second_min || second > form.second_max) {
        return fail("bytes that are not UTF-8");
    }
    for (int i = 2; i < form.length; ++i) {
        if ((static_cast<uint8_t>(text_[at_ + static_cast<size_t>(i)]) & 0xC0) != 0x80) {
            return fail("bytes that are not UTF-8");
        }
    }
    at_ += static_cast<size_t>(form.length);
    return true;
}

bool JsonScanner::digits() {
    const size_t begin = at_;
    while (is_digit_byte(peek())) ++at_;
    return at_ > begin || fail("a number lacks digits");
}

bool JsonScanner::number() {
    take('-');
    if (!is_digit_byte(peek())) return fail("a value is none that JSON knows");
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
        if (!take('+')) take('-');
        return digits();
    }
    return true;
}

}  // namespace spolia
