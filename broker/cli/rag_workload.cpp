#include "broker/cli/rag_workload.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace spolia {
namespace {

constexpr int kWordsInSentence = 10;

}  // namespace

std::string RagWorkload::word() {
    std::string word;
    const size_t length = 2 + random_() % 7;
    for (size_t i = 0; i < length; ++i) word += static_cast<char>('a' + random_() % 26);
    return word;
}

Result<std::string> RagWorkload::document(int32_t n_tokens) {
    // Grows word by word, then is cut behind its n-th token; a letter at the end keeps a chunker
    // from trimming it.
    std::string text = word();
    for (;;) {
        Result<TokenizedText> tokens = text_.tokenize(text, false, false);
        if (!tokens) return tokens.error();
        if (!tokens->has_offsets()) {
            return Error{ErrorCode::kUnsupported,
                         "this model's tokens do not add up to their text"};
        }
        const size_t wanted = static_cast<size_t>(n_tokens);
        if (tokens->tokens.size() > wanted) {
            const std::string cut = text.substr(0, tokens->byte_begin[wanted]);
            const Result<TokenizedText> again = text_.tokenize(cut, false, false);
            if (!again) return again.error();
            if (again->tokens.size() == wanted && !cut.ends_with(' ')) return cut;
        }
        text += ' ' + word();
        if (tokens->tokens.size() > wanted + 64) text = word();
    }
}

// A full stop is a token of its own, the random words take about three.
Result<std::string> RagWorkload::sentences(int n_tokens) {
    const Result<std::string> text =
        document(n_tokens * 3 * kWordsInSentence / (3 * kWordsInSentence + 1));
    if (!text.ok()) return text.error();
    std::string out;
    int n_words = 0;
    std::istringstream words(*text);
    for (std::string word; words >> word;) {
        if (!out.empty()) out += ' ';
        // What begins with a small letter is taken for more of the sentence in front of it.
        if (n_words % kWordsInSentence == 0)
            word[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(word[0])));
        out += word;
        if (++n_words % kWordsInSentence == 0) out += '.';
    }
    if (out.back() != '.') out += '.';
    return out;
}

std::vector<std::string> RagWorkload::shuffled(std::vector<std::string> documents,
                                               const std::vector<std::string>& not_first) {
    const auto refused = [&](const std::string& document) {
        return std::ranges::find(not_first, document) != not_first.end();
    };
    const bool possible = !std::ranges::all_of(documents, refused);
    do {
        std::ranges::shuffle(documents, random_);
    } while (possible && refused(documents.front()));
    return documents;
}

}  // namespace spolia
