#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/result.h"

namespace spolia {

// Bytes of a text.
struct ByteRange {
    size_t begin = 0;
    size_t end = 0;

    size_t size() const { return end - begin; }
    bool operator==(const ByteRange&) const = default;
};

inline std::string_view slice(std::string_view text, ByteRange range) {
    return text.substr(range.begin, range.size());
}

struct JsonMember {
    ByteRange key;  // with its quotes
    ByteRange value;
};

inline constexpr int32_t kJsonDepthMax = 64;

// Where the value that starts at `begin`, behind white space, stands. What follows it is not looked
// at. Refuses what is not JSON (RFC 8259, in UTF-8, surrogates in pairs) or is nested deeper.
Result<ByteRange> json_value(std::string_view text, size_t begin,
                             int32_t depth_max = kJsonDepthMax);

// The same of a text that has nothing but one value.
Result<ByteRange> json_document(std::string_view text, int32_t depth_max = kJsonDepthMax);

// The functions below take ranges of values that the two above accepted, or parts of such.

// '{', '[', '"', 't', 'f', 'n', or '0' for numbers.
char json_kind(std::string_view text, ByteRange value);

// Empty for what is no object, or no array.
std::vector<JsonMember> json_members(std::string_view text, ByteRange object);
std::vector<ByteRange> json_items(std::string_view text, ByteRange array);

// The value of that name; of several the last one, which is what parsers keep.
std::optional<ByteRange> json_member(std::string_view text, ByteRange object,
                                     std::string_view name);

// What a string says; empty for what is no string.
std::string json_string(std::string_view text, ByteRange string);

// Appends the value without white space around its tokens. Numbers and strings stay as written.
void append_minimal_json(std::string_view text, ByteRange value, std::string& out);

// The same, with the members of all objects in the order of their keys as written.
std::string sorted_json(std::string_view text, ByteRange value);

// `text`, which is UTF-8, as a JSON string.
std::string quoted_json(std::string_view text);

}  // namespace spolia
