#include "tests/unit/index/toy_tokenizer.h"

#include <algorithm>
#include <array>
#include <random>

#include "index/fingerprint.h"

namespace spolia::testing {
namespace {

constexpr Token kBos = 1;
constexpr size_t kPieceBytesMax = 6;

bool is_word_byte(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           static_cast<unsigned char>(byte) >= 0x80;
}

bool is_number_byte(char byte) { return byte >= '0' && byte <= '9'; }

bool is_blank_byte(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

bool is_mark_byte(char byte) {
    return !is_word_byte(byte) && !is_number_byte(byte) && !is_blank_byte(byte);
}

template <class Predicate>
size_t run_length(std::string_view text, size_t at, size_t bytes_max, Predicate matches) {
    size_t end = at;
    while (end < text.size() && end - at < bytes_max && matches(text[end])) ++end;
    return end - at;
}

size_t piece_length(std::string_view text) {
    const size_t space = text[0] == ' ' && text.size() > 1 ? 1 : 0;
    if (const size_t n = run_length(text, space, kPieceBytesMax, is_word_byte)) return space + n;
    if (const size_t n = run_length(text, space, kPieceBytesMax, is_mark_byte)) {
        const size_t end = space + n;
        return end + run_length(text, end, text.size(), [](char byte) { return byte == '\n'; });
    }
    if (const size_t n = run_length(text, 0, 3, is_number_byte)) return n;
    if (const size_t n = run_length(text, 0, text.size(), [](char byte) { return byte == '\n'; })) {
        return n;
    }
    return 1;
}

void add_token(TokenizedText& prompt, size_t length) {
    const size_t begin = prompt.byte_begin.back();
    const Key128 hash = hash_text(std::string_view(prompt.text).substr(begin, length));
    prompt.tokens.push_back(static_cast<Token>(hash.low % 100'000) + 2);
    prompt.byte_begin.push_back(static_cast<uint32_t>(begin + length));
}

}  // namespace

TokenizedText tokenize(std::string_view text, bool add_bos) {
    TokenizedText prompt;
    prompt.text = text;
    prompt.byte_begin.push_back(0);
    if (add_bos) {
        prompt.tokens.push_back(kBos);
        prompt.byte_begin.push_back(0);
    }
    while (prompt.byte_begin.back() < text.size()) {
        add_token(prompt, piece_length(text.substr(prompt.byte_begin.back())));
    }
    return prompt;
}

TokenizedText tokenize_at_random(std::string_view text, uint64_t seed) {
    std::mt19937_64 random(seed);
    TokenizedText prompt;
    prompt.text = text;
    prompt.byte_begin.push_back(0);
    while (prompt.byte_begin.back() < text.size()) {
        add_token(prompt, std::min<size_t>(random() % 8, text.size() - prompt.byte_begin.back()));
    }
    return prompt;
}

std::string make_document(uint64_t seed, int n_paragraphs, int words_min, int words_max) {
    static constexpr std::array<std::string_view, 12> kSyllables = {
        "ra", "mo", "ti", "len", "dor", "sa", "vik", "nu", "pel", "ga", "hesh", "or"};
    std::mt19937_64 random(seed);
    std::string text;
    for (int paragraph = 0; paragraph < n_paragraphs; ++paragraph) {
        if (paragraph > 0) text += "\n\n";
        const int n_words = words_min + static_cast<int>(random() % (words_max - words_min + 1));
        for (int word = 0; word < n_words; ++word) {
            if (word > 0) text += word % 11 == 0 ? ". " : " ";
            for (uint64_t n = 1 + random() % 3; n > 0; --n) text += kSyllables[random() % 12];
        }
        text += '.';
    }
    return text;
}

}  // namespace spolia::testing
