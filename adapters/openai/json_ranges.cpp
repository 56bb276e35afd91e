#include "adapters/openai/json_ranges.h"

#include <algorithm>

#include "adapters/openai/json_scanner.h"

namespace spolia {
namespace {

Error error_at(const JsonScanner& scanner) {
    return invalid("bad JSON at byte " + std::to_string(scanner.at()) + ": " + scanner.reason());
}

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

size_t skip_space(std::string_view text, size_t at) {
    while (is_space(text[at])) ++at;
    return at;
}

// Behind the string that begins at `at`.
size_t skip_string(std::string_view text, size_t at) {
    const size_t begin = at;
    for (;;) {
        at = text.find('"', at + 1);
        // Backslashes in front of a quote escape each other, and an odd one the quote.
        size_t first = at;
        while (first > begin + 1 && text[first - 1] == '\\') --first;
        if ((at - first) % 2 == 0) return at + 1;
    }
}

size_t skip_value(std::string_view text, size_t at) {
    int32_t depth = 0;
    do {
        switch (text[at]) {
            case '"': at = skip_string(text, at); break;
            case '{':
            case '[':
                ++depth;
                ++at;
                break;
            case '}':
            case ']':
                --depth;
                ++at;
                break;
            case ',':
            case ':': ++at; break;
            default:
                if (is_space(text[at])) {
                    at = skip_space(text, at);
                } else {
                    at = std::min(text.find_first_of(" \n\t\r,]}", at), text.size());
                }
        }
    } while (depth > 0);
    return at;
}

void append_utf8(uint32_t code, std::string& out) {
    const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

uint32_t hex4(std::string_view digits) {
    uint32_t code = 0;
    for (const char c : digits.substr(0, 4)) {
        code = code * 16 + static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return code;
}

// Appends what the escape at `at` (the backslash) means; behind it.
size_t append_escape(std::string_view text, size_t at, std::string& out) {
    const char c = text[at + 1];
    if (c == 'u') {
        uint32_t code = hex4(text.substr(at + 2));
        at += 6;
        if (code >= 0xD800 && code <= 0xDBFF) {
            code = 0x10000 + ((code - 0xD800) << 10) + (hex4(text.substr(at + 2)) - 0xDC00);
            at += 6;
        }
        append_utf8(code, out);
        return at;
    }
    constexpr std::string_view kLetters = "bfnrt";
    const size_t letter = kLetters.find(c);
    out += letter == kLetters.npos ? c : "\b\f\n\r\t"[letter];
    return at + 2;
}

void append_sorted(std::string_view text, ByteRange value, std::string& out) {
    const char kind = json_kind(text, value);
    if (kind == '{') {
        std::vector<JsonMember> members = json_members(text, value);
        std::stable_sort(members.begin(), members.end(),
                         [&](const JsonMember& a, const JsonMember& b) {
                             return slice(text, a.key) < slice(text, b.key);
                         });
        const char* before = "{";
        for (const JsonMember& member : members) {
            out += before;
            out += slice(text, member.key);
            out += ':';
            append_sorted(text, member.value, out);
            before = ",";
        }
        out += members.empty() ? "{}" : "}";
    } else if (kind == '[') {
        const std::vector<ByteRange> items = json_items(text, value);
        const char* before = "[";
        for (const ByteRange& item : items) {
            out += before;
            append_sorted(text, item, out);
            before = ",";
        }
        out += items.empty() ? "[]" : "]";
    } else {
        out += slice(text, value);
    }
}

}  // namespace

Result<ByteRange> json_value(std::string_view text, size_t begin, int32_t depth_max) {
    JsonScanner scanner(text, begin, depth_max);
    scanner.white_space();
    const size_t start = scanner.at();
    if (!scanner.value()) return error_at(scanner);
    return ByteRange{start, scanner.at()};
}

Result<ByteRange> json_document(std::string_view text, int32_t depth_max) {
    const Result<ByteRange> value = json_value(text, 0, depth_max);
    if (!value.ok()) return value.error();
    const size_t rest = text.find_first_not_of(" \n\t\r", value->end);
    if (rest == text.npos) return *value;
    return invalid("bad JSON at byte " + std::to_string(rest) + ": more behind the value");
}

char json_kind(std::string_view text, ByteRange value) {
    const char first = text[value.begin];
    return first == '-' || (first >= '0' && first <= '9') ? '0' : first;
}

std::vector<JsonMember> json_members(std::string_view text, ByteRange object) {
    std::vector<JsonMember> members;
    if (json_kind(text, object) != '{') return members;
    size_t at = skip_space(text, object.begin + 1);
    while (text[at] == '"') {
        JsonMember member;
        member.key = {at, skip_string(text, at)};
        at = skip_space(text, skip_space(text, member.key.end) + 1);
        member.value = {at, skip_value(text, at)};
        members.push_back(member);
        at = skip_space(text, member.value.end);
        if (text[at] == ',') at = skip_space(text, at + 1);
    }
    return members;
}

std::vector<ByteRange> json_items(std::string_view text, ByteRange array) {
    std::vector<ByteRange> items;
    if (json_kind(text, array) != '[') return items;
    size_t at = skip_space(text, array.begin + 1);
    while (text[at] != ']') {
        items.push_back({at, skip_value(text, at)});
        at = skip_space(text, items.back().end);
        if (text[at] == ',') at = skip_space(text, at + 1);
    }
    return items;
}

std::optional<ByteRange> json_member(std::string_view text, ByteRange object,
                                     std::string_view name) {
    std::optional<ByteRange> found;
    for (const JsonMember& member : json_members(text, object)) {
        const std::string_view inside = slice(text, {member.key.begin + 1, member.key.end - 1});
        const bool plain = inside.find('\\') == inside.npos;
        if (plain ? inside == name : json_string(text, member.key) == name) found = member.value;
    }
    return found;
}

std::string json_string(std::string_view text, ByteRange string) {
    std::string out;
    if (json_kind(text, string) != '"') return out;
    out.reserve(string.size());
    size_t at = string.begin + 1;
    while (at < string.end - 1) {
        const size_t plain = std::min(text.find('\\', at), string.end - 1);
        out += text.substr(at, plain - at);
        at = plain == string.end - 1 ? plain : append_escape(text, plain, out);
    }
    return out;
}

void append_minimal_json(std::string_view text, ByteRange value, std::string& out) {
    size_t at = value.begin;
    while (at < value.end) {
        if (is_space(text[at])) {
            ++at;
        } else if (text[at] == '"') {
            const size_t end = skip_string(text, at);
            out += text.substr(at, end - at);
            at = end;
        } else {
            out += text[at++];
        }
    }
}

std::string sorted_json(std::string_view text, ByteRange value) {
    std::string out;
    out.reserve(value.size());
    append_sorted(text, value, out);
    return out;
}

std::string quoted_json(std::string_view text) {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<uint8_t>(c) < 0x20) {
            out += "\\u00";
            out += kHex[static_cast<size_t>(c) >> 4];
            out += kHex[static_cast<size_t>(c) & 15];
        } else {
            out += c;
        }
    }
    out += '"';
    return out;
}

}  // namespace spolia
