#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "index/lines.h"

namespace spolia {

// What a character means for words.
enum class CharacterKind : uint8_t {
    kOther,  // white space and marks
    kLetter,
    kUpper,  // ASCII
    kDigit,  // ASCII
    kUnderscore,
    kIdeograph,  // of a script that puts no spaces between words
};

struct Character {
    CharacterKind kind = CharacterKind::kOther;
    size_t bytes = 1;
    uint32_t code = 0;  // of Unicode; the byte itself where it is not UTF-8
};

// Of a text whose first byte is not ASCII.
Character wide_character_at(std::string_view text);

// The character at the start of a text that is not empty. A byte that is not UTF-8 is a letter.
inline Character character_at(std::string_view text) {
    const char c = text[0];
    if (!is_ascii(c)) return wide_character_at(text);
    const CharacterKind kind = c >= 'a' && c <= 'z'   ? CharacterKind::kLetter
                               : c >= 'A' && c <= 'Z' ? CharacterKind::kUpper
                               : is_digit(c)          ? CharacterKind::kDigit
                               : c == '_'             ? CharacterKind::kUnderscore
                                                      : CharacterKind::kOther;
    return {kind, 1, static_cast<uint32_t>(c)};
}

}  // namespace spolia
