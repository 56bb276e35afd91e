#include "spolia/prompt_template.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <utility>

namespace spolia {
namespace {

bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

Error at(size_t position, const std::string& what) {
    return invalid("prompt template, character " + std::to_string(position + 1) + ": " + what);
}

}  // namespace

Result<PromptTemplate> PromptTemplate::parse(std::string_view text) {
    PromptTemplate made;
    std::string literal;
    const auto end_literal = [&] {
        if (!literal.empty()) made.pieces_.push_back({std::exchange(literal, {}), false});
    };
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c != '{' && c != '}') {
            literal += c;
            continue;
        }
        if (i + 1 < text.size() && text[i + 1] == c) {
            literal += c;
            ++i;
            continue;
        }
        if (c == '}') return at(i, "a '}' without its '{'; write '}}' for the character itself");
        const size_t close = text.find('}', i);
        if (close == std::string_view::npos) {
            return at(i, "a '{' without its '}'; write '{{' for the character itself");
        }
        std::string name(text.substr(i + 1, close - i - 1));
        if (name.empty() || !std::ranges::all_of(name, in_name)) {
            return at(i, "'" + name + "' is no name: letters, digits and underscores make one");
        }
        end_literal();
        if (std::ranges::find(made.names_, name) == made.names_.end()) {
            made.names_.push_back(name);
        }
        made.pieces_.push_back({std::move(name), true});
        i = close;
    }
    end_literal();
    return made;
}

Result<Message> PromptTemplate::fill(std::string role,
                                     const std::map<std::string, std::string>& values) const {
    for (const auto& [name, value] : values) {
        if (std::ranges::find(names_, name) == names_.end()) {
            return invalid("the prompt template has no placeholder '" + name + "'");
        }
    }
    Message message{std::move(role), {}};
    for (const Piece& piece : pieces_) {
        if (!piece.placeholder) {
            message.parts.push_back(piece.text);
            continue;
        }
        const auto value = values.find(piece.text);
        if (value == values.end()) {
            return invalid("the prompt template's placeholder '" + piece.text + "' has no value");
        }
        if (!value->second.empty()) message.parts.push_back(value->second);
    }
    return message;
}

}  // namespace spolia
