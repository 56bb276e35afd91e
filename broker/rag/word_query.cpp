#include "broker/rag/word_query.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "index/lines.h"

namespace spolia {
namespace {

constexpr size_t kWordsMax = 64;
constexpr size_t kWordBytesMax = 256;

bool in_word(char c) { return is_letter(c) || is_digit(c) || !is_ascii(c); }

}  // namespace

std::string word_query(std::string_view text) {
    std::vector<std::string_view> words;
    for (size_t at = 0; at < text.size() && words.size() < kWordsMax;) {
        size_t end = at;
        while (end < text.size() && in_word(text[end])) ++end;
        const std::string_view word = text.substr(at, end - at);
        if (!word.empty() && word.size() <= kWordBytesMax &&
            std::ranges::find(words, word) == words.end()) {
            words.push_back(word);
        }
        at = end + 1;
    }
    std::string query;
    for (const std::string_view word : words) {
        query.append(query.empty() ? "\"" : " OR \"").append(word).append("\"");
    }
    return query;
}

}  // namespace spolia
