#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "index/result.h"
#include "spolia/broker.h"

namespace spolia {

// The text of an agent's message with {placeholders}: what the user asked, what other agents said,
// what a tool gave. Each filling becomes a part of its own, so that it is found wherever else the
// same text stands, and the text around it is the same in every call of the agent.
//
//     auto review = PromptTemplate::parse("Review this draft:\n\n{draft}\n\nOf these
//     facts:\n\n{facts}"); prompt.messages = {(*review).fill("user", {{"draft", draft}, {"facts",
//     facts}}).value()};
//
// "{{" and "}}" stand for braces. Immutable.
class PromptTemplate {
public:
    // kInvalidArgument: a brace without its other one, or a name that is empty or has other
    // characters than letters, digits and underscores; the error says where.
    static Result<PromptTemplate> parse(std::string_view text);

    // Names of the placeholders, in their order; one may stand in several places.
    const std::vector<std::string>& placeholders() const { return names_; }

    // kInvalidArgument: a placeholder has no value, or a value no placeholder.
    Result<Message> fill(std::string role, const std::map<std::string, std::string>& values) const;

private:
    struct Piece {
        std::string text;
        bool placeholder = false;  // `text` is its name
    };

    std::vector<Piece> pieces_;
    std::vector<std::string> names_;
};

}  // namespace spolia
