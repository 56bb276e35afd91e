#include "index/words.h"

#include <array>
#include <cstddef>

#include "index/characters.h"
#include "index/lines.h"

namespace spolia {
namespace {

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
                case CharacterKind::kOther: at_ += next.bytes; break;
                case CharacterKind::kIdeograph: scan_unspaced(next.bytes); break;
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
        const bool pair = next.kind == CharacterKind::kIdeograph;
        const bool alone = !pair && !unspaced_before_;
        if (pair) report(begin, at_ + next.bytes);
        if (alone) report(begin, at_);
        unspaced_before_ = pair;
    }

    // Whether a mark between two characters of a word belongs to it: 3.14, 1,000, Anna's.
    bool joins(CharacterKind before, size_t mark) const {
        if (mark + 1 >= text_.size()) return false;
        const CharacterKind after = character_at(text_.substr(mark + 1)).kind;
        const char c = text_[mark];
        if (c == '.' || c == ',')
            return before == CharacterKind::kDigit && after == CharacterKind::kDigit;
        return c == '\'' && before != CharacterKind::kDigit && after == CharacterKind::kLetter;
    }

    // Letters, digits and underscores up to the next thing that is none.
    void scan_name() {
        const size_t begin = at_;
        size_t part = at_;
        bool parts = false;
        CharacterKind before = CharacterKind::kOther;
        while (at_ < text_.size()) {
            const Character next = character_at(text_.substr(at_));
            if (next.kind == CharacterKind::kIdeograph) break;
            if (next.kind == CharacterKind::kOther && !joins(before, at_)) break;
            const bool hump =
                next.kind == CharacterKind::kUpper && before == CharacterKind::kLetter;
            if (hump || next.kind == CharacterKind::kUnderscore) {
                if (at_ > part) report(part, at_);
                parts = parts || at_ > begin;
                part = at_ + (next.kind == CharacterKind::kUnderscore ? next.bytes : 0);
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
