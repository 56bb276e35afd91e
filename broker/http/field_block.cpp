#include "broker/http/field_block.h"

#include <algorithm>
#include <cctype>

namespace spolia {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// The line at or behind `from` whose field has that name: where it begins, or npos.
size_t find_line(std::string_view block, std::string_view name, size_t from) {
    for (size_t line = from; line < block.size();) {
        const std::string_view rest = block.substr(line);
        if (rest.size() > name.size() && rest[name.size()] == ':' &&
            same_field_name(rest.substr(0, name.size()), name)) {
            return line;
        }
        const size_t end = block.find(kLineEnd, line);
        if (end == block.npos) break;
        line = end + kLineEnd.size();
    }
    return block.npos;
}

}  // namespace

bool same_field_name(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
               return x == y || lower(x) == lower(y);
           });
}

void append_field(std::string& block, std::string_view name, std::string_view value) {
    block.append(name).append(": ").append(value).append(kLineEnd);
}

std::string_view field_value(std::string_view block, std::string_view name) {
    const size_t line = find_line(block, name, 0);
    if (line == block.npos) return {};
    const size_t begin = line + name.size() + 2;
    return block.substr(begin, block.find(kLineEnd, begin) - begin);
}

bool has_field(std::string_view block, std::string_view name) {
    return find_line(block, name, 0) != block.npos;
}

void erase_field(std::string& block, std::string_view name) {
    for (size_t line = 0; (line = find_line(block, name, line)) != block.npos;) {
        block.erase(line, block.find(kLineEnd, line) + kLineEnd.size() - line);
    }
}

void erase_fields_named_by(std::string& block, std::string_view connection) {
    while (!connection.empty()) {
        const size_t comma = std::min(connection.find(','), connection.size());
        std::string_view name = connection.substr(0, comma);
        connection.remove_prefix(std::min(comma + 1, connection.size()));
        const size_t begin = std::min(name.find_first_not_of(" \t"), name.size());
        name.remove_prefix(begin);
        name = name.substr(0, name.find_last_not_of(" \t") + 1);
        if (!name.empty()) erase_field(block, name);
    }
}

}  // namespace spolia
