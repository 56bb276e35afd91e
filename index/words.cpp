#include "index/words.h"

#include <array>
#include <cstddef>

#include "index/lines.h"

namespace spolia {
namespace {

// What a character means for words.
enum class Kind { kOther, kLetter, kUpper, kDigit, kUnderscore, kIdeograph };

struct Character {
    Kind kind = Kind::kOther;
    size_t bytes = 1;
};

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

Character ascii_character(char c) {
    if (is_digit(c)) return {Kind::kDigit, 1};
    if (c == '_') return {Kind::kUnderscore, 1};
    if (!is_letter(c)) return {Kind::kOther, 1};
    return {c >= 'A' && c <= 'Z' ? Kind::kUpper : Kind::kLetter, 1};
}

// The character at the start of a text that is not empty. A byte that is not UTF-8 is a letter.
Character character_at(std::string_view text) {
    if (is_ascii(text[0])) return ascii_character(text[0]);
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
    const size_t n = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : byte(0) >= 0xc2 ? 2 : 1;
    if (n == 1 || text.size() < n) return {Kind::kLetter, 1};
    uint32_t code = byte(0) & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return {Kind::kLetter, 1};
        code = code << 6 | (byte(i) & 0x3fu);
    }
    return {is_unspaced(code) ? Kind::kIdeograph : is_mark(code) ? Kind::kOther : Kind::kLetter, n};
}

// FNV-1a, 64 bits, of the text in lower case.
uint64_t hash_lower(std::string_view text) {
    uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text) {
        hash = (hash ^ static_cast<uint8_t>(to_lower(c))) * 0x100000001b3;
    }
    return hash;
}

bool ends_with(std::string_view word, std::string_view ending) {
    if (word.size() < ending.size()) return false;
    for (size_t i = 0; i < ending.size(); ++i) {
        if (to_lower(word[word.size() - ending.size() + i]) != ending[i]) return false;
    }
    return true;
}

// The word without an English ending, where enough is left of it. Only for matching words with
// each other, so that a wrong stem does little harm.
std::string_view stem_of(std::string_view word) {
    struct Ending {
        std::string_view text;
        size_t rest_min;
    };
    constexpr std::array<Ending, 7> kEndings = {
        {{"'s", 1}, {"ing", 4}, {"ies", 3}, {"ed", 4}, {"es", 3}, {"s", 3}, {"y", 3}}};
    if (!is_ascii(word.back()) || is_digit(word.back()) || ends_with(word, "ss")) return word;
    for (const Ending& ending : kEndings) {
        if (ends_with(word, ending.text) && word.size() >= ending.text.size() + ending.rest_min) {
            word.remove_suffix(ending.text.size());
            break;
        }
    }
    if (word.size() > 3 && ends_with(word, "e")) word.remove_suffix(1);
    return word;
}

class WordScanner {
public:
    WordScanner(std::string_view text, const ReportWord& report) : text_(text), report_(report) {}

    void scan() {
        while (at_ < text_.size()) {
            const Character next = character_at(text_.substr(at_));
            switch (next.kind) {
                case Kind::kOther: at_ += next.bytes; break;
                case Kind::kIdeograph: scan_unspaced(next.bytes); break;
                default: scan_name();
            }
        }
    }

private:
    void report(size_t begin, size_t end) {
        const std::string_view word = text_.substr(begin, end - begin);
        report_(hash_lower(stem_of(word)), begin, word);
    }

    // A character of an unspaced script, together with the next one.
    void scan_unspaced(size_t bytes) {
        const size_t begin = at_;
        at_ += bytes;
        const Character next = at_ < text_.size() ? character_at(text_.substr(at_)) : Character{};
        const bool pair = next.kind == Kind::kIdeograph;
        const bool alone = !pair && !unspaced_before_;
        if (pair) report(begin, at_ + next.bytes);
        if (alone) report(begin, at_);
        unspaced_before_ = pair;
    }

    // Whether a mark between two characters of a word belongs to it: 3.14, 1,000, Anna's.
    bool joins(Kind before, size_t mark) const {
        if (mark + 1 >= text_.size()) return false;
        const Kind after = character_at(text_.substr(mark + 1)).kind;
        const char c = text_[mark];
        if (c == '.' || c == ',') return before == Kind::kDigit && after == Kind::kDigit;
        return c == '\'' && before != Kind::kDigit && after == Kind::kLetter;
    }

    // Letters, digits and underscores up to the next thing that is none.
    void scan_name() {
        const size_t begin = at_;
        size_t part = at_;
        bool parts = false;
        Kind before = Kind::kOther;
        while (at_ < text_.size()) {
            const Character next = character_at(text_.substr(at_));
            if (next.kind == Kind::kIdeograph) break;
            if (next.kind == Kind::kOther && !joins(before, at_)) break;
            const bool hump = next.kind == Kind::kUpper && before == Kind::kLetter;
            if (hump || next.kind == Kind::kUnderscore) {
                if (at_ > part) report(part, at_);
                parts = parts || at_ > begin;
                part = at_ + (next.kind == Kind::kUnderscore ? next.bytes : 0);
            }
            before = next.kind;
            at_ += next.bytes;
        }
        if (parts && at_ > part) report(part, at_);
        report(begin, at_);
    }

    std::string_view text_;
    const ReportWord& report_;
    size_t at_ = 0;
    bool unspaced_before_ = false;  // the last character ended a pair
};

}  // namespace

void for_each_word(std::string_view text, const ReportWord& report) {
    WordScanner(text, report).scan();
}

}  // namespace spolia
