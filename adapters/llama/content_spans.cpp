#include "adapters/llama/content_spans.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <random>
#include <utility>

namespace spolia {
namespace {

constexpr int kRendersMax = 8;
// A role that fails this often is left out as a whole: its template changes all of its parts.
constexpr int kFailuresPerRoleMax = 2;

constexpr size_t kWordPrefixBytes = 20;
constexpr size_t kWordIndexBytes = 6;
constexpr size_t kWordBytes = kWordPrefixBytes + kWordIndexBytes;
constexpr size_t kPartsMax = 1'000'000;  // what the index of a word can count

constexpr std::string_view kSpace = " \t\n\v\f\r";

// Letters and digits only, so that no template quotes or splits it; lower case and starting with a
// letter, so that a change of case shows.
std::string random_word_prefix() {
    constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::random_device entropy;
    std::uniform_int_distribution<size_t> any(0, kAlphabet.size() - 1);
    std::uniform_int_distribution<size_t> letter(0, 25);
    std::string word(1, kAlphabet[letter(entropy)]);
    while (word.size() < kWordPrefixBytes) word.push_back(kAlphabet[any(entropy)]);
    return word;
}

std::string word_of(const std::string& prefix, size_t part) {
    std::string digits = std::to_string(part);
    return prefix + std::string(kWordIndexBytes - digits.size(), '0') + digits;
}

struct Occurrence {
    size_t part = 0;
    size_t begin = 0;  // of the word in the second rendering
};

// Words that the template cut short are not among them.
std::vector<Occurrence> find_words(std::string_view text, const std::string& prefix,
                                   size_t n_parts) {
    std::vector<Occurrence> found;
    for (size_t at = text.find(prefix); at != text.npos; at = text.find(prefix, at + 1)) {
        const std::string_view digits = text.substr(at + kWordPrefixBytes, kWordIndexBytes);
        size_t part = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), part);
        const bool whole =
            error == std::errc() && end == digits.data() + kWordIndexBytes && part < n_parts;
        if (whole) found.push_back({part, at});
    }
    return found;
}

// The part as it is, without white space at both ends, at its start, at its end.
std::array<std::string_view, 4> variants(std::string_view text) {
    const size_t first = std::min(text.find_first_not_of(kSpace), text.size());
    const std::string_view left = text.substr(first);
    const size_t last = text.find_last_not_of(kSpace);
    const std::string_view right = text.substr(0, last == text.npos ? 0 : last + 1);
    const std::string_view both = left.substr(0, left.find_last_not_of(kSpace) + 1);
    return {text, both, left, right};
}

// As templates write it that put a tool's result into JSON.
std::string json_escaped(std::string_view text) {
    constexpr std::string_view kEscaped = "\"\\\b\f\n\r\t";
    constexpr std::string_view kLetters = "\"\\bfnrt";
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string escaped;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (const size_t i = kEscaped.find(c); i != kEscaped.npos) {
            escaped += {'\\', kLetters[i]};
        } else if (byte < 0x20) {
            escaped += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
        } else {
            escaped += c;
        }
    }
    return escaped;
}

struct Match {
    std::vector<PlacedPart> placed;
    std::optional<size_t> culprit;  // the part at which the texts part ways
};

// Walks the true text and the one with words in step.
class Matcher {
public:
    Matcher(const std::vector<ContentPart>& parts, std::string_view rendered,
            std::string_view with_words, const std::vector<Occurrence>& words)
        : parts_(parts), rendered_(rendered), with_words_(with_words), words_(words) {}

    Match run() const {
        Match match;
        std::string_view rest = rendered_;
        const std::string_view head = with_words_.substr(0, words_.front().begin);
        if (!rest.starts_with(head)) {
            match.culprit = words_.front().part;
            return match;
        }
        rest.remove_prefix(head.size());
        for (size_t i = 0; i < words_.size(); ++i) {
            const std::optional<size_t> length = length_of(i, rest);
            if (!length) {
                match.culprit = culprit_at(i, rest);
                return match;
            }
            const auto begin = static_cast<uint32_t>(rendered_.size() - rest.size());
            match.placed.push_back({words_[i].part, begin, begin + static_cast<uint32_t>(*length)});
            rest.remove_prefix(*length + glue_behind(i).size());
        }
        return match;
    }

private:
    std::string_view glue_behind(size_t i) const {
        const size_t begin = words_[i].begin + kWordBytes;
        const size_t end = i + 1 < words_.size() ? words_[i + 1].begin : with_words_.size();
        return with_words_.substr(begin, end - begin);
    }

    // Bytes that word i's part takes at the start of `rest`, with the right text behind it.
    std::optional<size_t> length_of(size_t i, std::string_view rest) const {
        const std::string_view glue = glue_behind(i);
        const bool last = i + 1 == words_.size();
        const auto fits = [&](std::string_view text) {
            if (!rest.starts_with(text)) return false;
            const std::string_view behind = rest.substr(text.size());
            return last ? behind == glue : behind.starts_with(glue);
        };
        const std::string& text = parts_[words_[i].part].text;
        for (const std::string_view variant : variants(text)) {
            if (fits(variant)) return variant.size();
        }
        const std::string escaped = json_escaped(text);
        if (fits(escaped)) return escaped.size();
        return std::nullopt;
    }

    // Where the part itself is there, the template looked at the next one before it wrote on.
    size_t culprit_at(size_t i, std::string_view rest) const {
        const auto is_here = [&](std::string_view text) {
            return !text.empty() && rest.starts_with(text);
        };
        const auto texts = variants(parts_[words_[i].part].text);
        const bool here = std::any_of(texts.begin(), texts.end(), is_here);
        return here && i + 1 < words_.size() ? words_[i + 1].part : words_[i].part;
    }

    const std::vector<ContentPart>& parts_;
    std::string_view rendered_;
    std::string_view with_words_;
    const std::vector<Occurrence>& words_;
};

// Which parts are still looked for.
class Candidates {
public:
    explicit Candidates(const std::vector<ContentPart>& parts) : parts_(parts) {
        for (const ContentPart& part : parts) wanted_.push_back(!part.text.empty());
    }

    bool wanted(size_t part) const { return wanted_[part]; }
    bool any() const {
        for (const bool wanted : wanted_) {
            if (wanted) return true;
        }
        return false;
    }

    void give_up(size_t culprit) {
        wanted_[culprit] = false;
        const std::string& role = parts_[culprit].role;
        if (++failures_[role] < kFailuresPerRoleMax) return;
        for (size_t i = 0; i < parts_.size(); ++i) {
            if (parts_[i].role == role) wanted_[i] = false;
        }
    }

    // Gives up those that have no word in the text. True if there are any.
    bool drop_absent(const std::vector<Occurrence>& words) {
        std::vector<bool> present(parts_.size(), false);
        for (const Occurrence& word : words) present[word.part] = true;
        bool dropped = false;
        for (size_t i = 0; i < parts_.size(); ++i) {
            if (!wanted_[i] || present[i]) continue;
            wanted_[i] = false;
            dropped = true;
        }
        return dropped;
    }

    std::vector<std::string> texts(const std::string& prefix) const {
        std::vector<std::string> texts;
        for (size_t i = 0; i < parts_.size(); ++i) {
            texts.push_back(wanted_[i] ? word_of(prefix, i) : parts_[i].text);
        }
        return texts;
    }

private:
    const std::vector<ContentPart>& parts_;
    std::vector<bool> wanted_;
    std::map<std::string, int> failures_;
};

bool occurs_in(const std::vector<ContentPart>& parts, const std::string& word) {
    for (const ContentPart& part : parts) {
        if (part.text.find(word) != std::string::npos) return true;
    }
    return false;
}

}  // namespace

std::vector<PlacedPart> locate_parts(const std::vector<ContentPart>& parts,
                                     std::string_view rendered, const RenderWith& render) {
    if (parts.size() > kPartsMax) return {};
    std::string prefix = random_word_prefix();
    while (rendered.find(prefix) != rendered.npos || occurs_in(parts, prefix)) {
        prefix = random_word_prefix();
    }
    Candidates candidates(parts);
    for (int i = 0; i < kRendersMax && candidates.any(); ++i) {
        const Result<std::string> with_words = render(candidates.texts(prefix));
        if (!with_words) return {};
        const std::vector<Occurrence> words = find_words(*with_words, prefix, parts.size());
        if (candidates.drop_absent(words)) continue;
        Match match = Matcher(parts, rendered, *with_words, words).run();
        if (!match.culprit) return std::move(match.placed);
        candidates.give_up(*match.culprit);
    }
    return {};
}

}  // namespace spolia
