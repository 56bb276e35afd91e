#include "index/characters.h"

namespace spolia {
namespace {

// Scripts that put no spaces between words; a word of theirs is about two characters long.
bool is_unspaced(uint32_t code) {
    return (code >= 0x0e00 && code <= 0x0eff) ||  // Thai, Lao
           (code >= 0x1000 && code <= 0x109f) ||  // Myanmar
           (code >= 0x1780 && code <= 0x17ff) ||  // Khmer
           (code >= 0x3040 && code <= 0x30ff) ||  // kana
           (code >= 0x3400 && code <= 0x9fff) ||  // Han
           (code >= 0xf900 && code <= 0xfaff) ||  // Han, for compatibility
           (code >= 0x20000 && code <= 0x3ffff);  // Han, further planes
}

// Marks outside ASCII: Latin-1's, general punctuation, CJK's, full-width ones, symbols, emoji.
bool is_mark(uint32_t code) {
    return (code >= 0x80 && code <= 0xbf && code != 0xaa && code != 0xb5 && code != 0xba) ||
           (code >= 0x2000 && code <= 0x2bff) || (code >= 0x3000 && code <= 0x303f) ||
           (code >= 0xff00 && code <= 0xff0f) || (code >= 0xff1a && code <= 0xff20) ||
           (code >= 0x1f000 && code <= 0x1faff);
}

}  // namespace

Character wide_character_at(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
    const size_t n = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : byte(0) >= 0xc2 ? 2 : 1;
    if (n == 1 || text.size() < n) return {CharacterKind::kLetter, 1, byte(0)};
    uint32_t code = byte(0) & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return {CharacterKind::kLetter, 1, byte(0)};
        code = code << 6 | (byte(i) & 0x3fu);
    }
    const CharacterKind kind = is_unspaced(code) ? CharacterKind::kIdeograph
                               : is_mark(code)   ? CharacterKind::kOther
                                                 : CharacterKind::kLetter;
    return {kind, n, code};
}

}  // namespace spolia
