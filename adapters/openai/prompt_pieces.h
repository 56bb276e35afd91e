#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/openai/json_ranges.h"

namespace spolia {

// A part of a request's body that ends up in the model's prompt.
struct PromptPiece {
    enum class Kind : uint8_t {
        kModel,
        kTool,
        kRole,
        kName,
        kText,  // a message's content, or a text part of it
        kPart,  // any other part of a content
        kToolCalls,
        kToolCallId,
        kPrompt,  // of a completion, or instructions and input of a response
    };
    Kind kind = Kind::kModel;
    int32_t item = -1;  // of messages, tools or input
    int32_t part = -1;  // of the message's content
    ByteRange value;
};

// A bound for what one request may make of its messages and parts; pieces behind it are left out.
inline constexpr size_t kPromptPiecesMax = 100'000;

// The pieces in the order in which servers render them: model, tools, then the prompt or the
// messages. What has no part in the prompt (temperature, user, ...) is no piece. `root` is what
// json_document() gave for the body.
std::vector<PromptPiece> prompt_pieces(std::string_view body, ByteRange root);

// What a piece says, however it is written: a string's characters; of other values the JSON without
// white space.
void append_piece_text(std::string_view body, const PromptPiece& piece, std::string& out);

// Where it stands: "messages[2].content[0].text".
std::string piece_path(const PromptPiece& piece);

}  // namespace spolia
