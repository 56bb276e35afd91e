#include "broker/cli/team_workload.h"

#include <cctype>
#include <sstream>
#include <utility>

namespace spolia {
namespace {

constexpr int kWordsInSentence = 10;

std::vector<std::string> words_of(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) {
        while (!word.empty() && word.back() == '.') word.pop_back();
        words.push_back(std::move(word));
    }
    return words;
}

}  // namespace

// A full stop is a token of its own, the random words take about three.
Result<std::string> TeamWorkload::sentences(int n_tokens) {
    const Result<std::string> text =
        words_.document(n_tokens * 3 * kWordsInSentence / (3 * kWordsInSentence + 1));
    if (!text.ok()) return text.error();
    std::string out;
    int n_words = 0;
    for (std::string& word : words_of(*text)) {
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

Result<TeamRun> TeamWorkload::next() {
    while (prefixes_.size() < static_cast<size_t>(shape_.n_agents)) {
        Result<std::string> prefix = sentences(shape_.prefix_tokens);
        if (!prefix) return std::move(prefix).error();
        prefixes_.push_back(std::move(prefix).value());
    }
    TeamRun run{.task = {}, .kind = {}, .says_messages = true};
    Result<std::string> input = sentences(shape_.input_tokens);
    if (!input) return std::move(input).error();
    const std::vector<std::string> words = words_of(*input);
    run.task.notes.push_back(std::move(input).value());
    for (size_t i = 0; i < prefixes_.size(); ++i) {
        Result<std::string> message = sentences(shape_.message_tokens);
        if (!message) return std::move(message).error();
        const std::string& one = words[(7 * i + 3) % words.size()];
        const std::string& other = words[(11 * i + words.size() / 2) % words.size()];
        run.task.agents.push_back({.note = prefixes_[i],
                                   .question = "What is said of " + one + " and " + other + "?",
                                   .answer = {},
                                   .message = std::move(message).value()});
    }
    return run;
}

}  // namespace spolia
