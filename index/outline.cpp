#include "index/outline.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "index/lines.h"
#include "index/words.h"

namespace spolia {
namespace {

constexpr int32_t kSentenceTokensMax = 96;
constexpr size_t kOpeningWords = 2;

// Words that, at the start of a sentence, stand for something said before it.
constexpr std::array<std::string_view, 24> kBackReferences = {
    "it",    "its",  "they",   "them",   "their", "this", "that",      "these",
    "those", "he",   "she",    "him",    "her",   "his",  "hers",      "such",
    "both",  "then", "former", "latter", "above", "same", "therefore", "there"};

bool same_word(std::string_view word, std::string_view lower_case) {
    return word.size() == lower_case.size() &&
           std::equal(word.begin(), word.end(), lower_case.begin(),
                      [](char a, char b) { return to_lower(a) == b; });
}

constexpr std::array<std::string_view, 8> kWordsForAll = {"all",   "both", "count", "each",
                                                          "every", "list", "many",  "total"};

bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
    return std::ranges::any_of(words, [&](std::string_view each) { return same_word(word, each); });
}

// Bytes of the mark at `at` if a sentence ends with it; 0 otherwise. A full stop inside a word or
// a number, or in front of a small letter, is none.
size_t end_mark(std::string_view text, size_t at) {
    constexpr std::array<std::string_view, 6> kWideMarks = {"。", "！", "？", "｡", "।", "؟"};
    const char c = text[at];
    if (!is_ascii(c)) {
        for (const std::string_view mark : kWideMarks) {
            if (text.substr(at).starts_with(mark)) return mark.size();
        }
        return 0;
    }
    if (c != '.' && c != '!' && c != '?') return 0;
    size_t next = at + 1;
    while (next < text.size() && (text[next] == '"' || text[next] == '\'' || text[next] == ')')) {
        ++next;
    }
    if (next < text.size() && !is_space(text[next])) return 0;
    const size_t mark_end = next;
    while (next < text.size() && text[next] == ' ') ++next;
    const bool goes_on = next < text.size() && text[next] >= 'a' && text[next] <= 'z' && c == '.';
    return goes_on ? 0 : mark_end - at;
}

class Outliner {
public:
    Outliner(const TokenizedText& prompt, PromptOutline& outline)
        : prompt_(prompt), outline_(outline) {}

    void add(const Segment& segment, int32_t part) {
        part_ = part;
        role_ = segment.role;
        int32_t first = segment.span.begin;
        while (first < segment.span.end) {
            const int32_t end = std::min(segment.span.end, first + kSentenceTokensMax);
            first = add_run({first, end}, end == segment.span.end);
        }
    }

private:
    uint32_t byte_of(int32_t row) const { return prompt_.byte_begin[static_cast<size_t>(row)]; }

    // Adds the sentences of some rows. Where more rows of the segment follow, a last sentence that
    // does not end in these is left to the next run, unless it is all there is. Returns the first
    // row of the next run.
    int32_t add_run(TokenSpan rows, bool last) {
        const uint32_t text_begin = byte_of(rows.begin), text_end = byte_of(rows.end);
        const std::string_view text(prompt_.text.data() + text_begin, text_end - text_begin);
        size_t begin = 0;
        for (size_t at = 0; at < text.size();) {
            const size_t mark = text[at] == '\n' ? 1 : end_mark(text, at);
            at += std::max<size_t>(mark, 1);
            if (mark == 0) continue;
            add_sentence(text_begin + begin, text_begin + at, rows);
            begin = at;
        }
        if (begin == text.size()) return rows.end;
        const int32_t rest = row_at(text_begin + begin, rows);
        if (!last && begin > 0 && rest > rows.begin) return rest;
        add_sentence(text_begin + begin, text_end, rows);
        return rows.end;
    }

    // The row in `rows` that byte `at` is in.
    int32_t row_at(size_t at, TokenSpan rows) const {
        const auto begin = prompt_.byte_begin.begin();
        const auto behind =
            std::upper_bound(begin + rows.begin, begin + rows.end, static_cast<uint32_t>(at));
        return std::max(rows.begin, static_cast<int32_t>(behind - begin) - 1);
    }

    void add_sentence(size_t begin, size_t end, TokenSpan rows) {
        const std::string_view text(prompt_.text.data() + begin, end - begin);
        Sentence sentence;
        sentence.part = part_;
        sentence.role = role_;
        sentence.word_begin = static_cast<uint32_t>(outline_.words.size());
        size_t n_seen = 0;
        for_each_word(text, [&](uint64_t stem, size_t, std::string_view word) {
            if (n_seen++ < kOpeningWords && is_one_of(word, kBackReferences)) {
                sentence.refers_back = true;
            }
            if (role_ == SegmentRole::kQuery && is_one_of(word, kWordsForAll)) {
                outline_.asks_for_all = true;
            }
            const auto known =
                std::find(outline_.words.begin() + sentence.word_begin, outline_.words.end(), stem);
            if (known == outline_.words.end()) outline_.words.push_back(stem);
        });
        sentence.word_end = static_cast<uint32_t>(outline_.words.size());
        if (sentence.word_begin == sentence.word_end) return;
        sentence.rows = {row_at(begin, rows), row_at(end - 1, rows) + 1};
        outline_.sentences.push_back(sentence);
    }

    const TokenizedText& prompt_;
    PromptOutline& outline_;
    int32_t part_ = 0;
    SegmentRole role_ = SegmentRole::kGlue;
};

}  // namespace

PromptOutline outline_prompt(const TokenizedText& prompt, std::span<const Segment> segments) {
    PromptOutline outline;
    if (!prompt.has_offsets()) return outline;
    Outliner outliner(prompt, outline);
    for (size_t i = 0; i < segments.size(); ++i) outliner.add(segments[i], static_cast<int32_t>(i));
    return outline;
}

}  // namespace spolia
