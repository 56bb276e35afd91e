#include "broker/cli/team_workload.h"

#include <sstream>
#include <utility>

namespace spolia {
namespace {

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

Result<TeamRun> TeamWorkload::next() {
    while (prefixes_.size() < static_cast<size_t>(shape_.n_agents)) {
        Result<std::string> prefix = words_.sentences(shape_.prefix_tokens);
        if (!prefix) return std::move(prefix).error();
        prefixes_.push_back(std::move(prefix).value());
    }
    TeamRun run{.task = {}, .kind = {}, .says_messages = true};
    Result<std::string> input = words_.sentences(shape_.input_tokens);
    if (!input) return std::move(input).error();
    const std::vector<std::string> words = words_of(*input);
    run.task.notes.push_back(std::move(input).value());
    for (size_t i = 0; i < prefixes_.size(); ++i) {
        Result<std::string> message = words_.sentences(shape_.message_tokens);
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
