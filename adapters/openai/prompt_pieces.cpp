#include "adapters/openai/prompt_pieces.h"

#include <array>
#include <optional>
#include <utility>

namespace spolia {
namespace {

using Kind = PromptPiece::Kind;

// The members that matter of one object, found in one walk.
template <size_t N>
std::array<std::optional<ByteRange>, N> members_of(std::string_view text, ByteRange object,
                                                   const std::array<std::string_view, N>& names) {
    std::array<std::optional<ByteRange>, N> found;
    for (const JsonMember& member : json_members(text, object)) {
        const std::string_view inside = slice(text, {member.key.begin + 1, member.key.end - 1});
        for (size_t i = 0; i < N; ++i) {
            if (inside == names[i]) found[i] = member.value;
        }
    }
    return found;
}

class Collector {
public:
    explicit Collector(std::string_view body) : body_(body) {}

    void add(Kind kind, const std::optional<ByteRange>& value, int32_t item = -1,
             int32_t part = -1) {
        if (!value || json_kind(body_, *value) == 'n') return;
        if (pieces_.size() < kPromptPiecesMax) pieces_.push_back({kind, item, part, *value});
    }

    void add_tools(const std::optional<ByteRange>& tools) {
        if (!tools) return;
        int32_t index = 0;
        for (const ByteRange& tool : json_items(body_, *tools)) add(Kind::kTool, tool, index++);
    }

    void add_messages(const std::optional<ByteRange>& messages) {
        if (!messages) return;
        int32_t index = 0;
        for (const ByteRange& message : json_items(body_, *messages)) {
            add_message(message, index++);
        }
    }

    std::vector<PromptPiece> take() { return std::move(pieces_); }

private:
    void add_message(ByteRange message, int32_t index) {
        constexpr std::array<std::string_view, 5> kNames = {"role", "name", "content", "tool_calls",
                                                            "tool_call_id"};
        const auto found = members_of(body_, message, kNames);
        add(Kind::kRole, found[0], index);
        add(Kind::kName, found[1], index);
        if (found[2]) add_content(*found[2], index);
        add(Kind::kToolCalls, found[3], index);
        add(Kind::kToolCallId, found[4], index);
    }

    void add_content(ByteRange content, int32_t index) {
        if (json_kind(body_, content) != '[') return add(Kind::kText, content, index);
        int32_t part = 0;
        for (const ByteRange& value : json_items(body_, content)) {
            constexpr std::array<std::string_view, 1> kNames = {"text"};
            const std::optional<ByteRange> text = members_of(body_, value, kNames)[0];
            const bool is_text = text && json_kind(body_, *text) == '"';
            add(is_text ? Kind::kText : Kind::kPart, is_text ? *text : value, index, part++);
        }
    }

    std::string_view body_;
    std::vector<PromptPiece> pieces_;
};

}  // namespace

std::vector<PromptPiece> prompt_pieces(std::string_view body, ByteRange root) {
    constexpr std::array<std::string_view, 6> kNames = {"model",        "tools", "prompt",
                                                        "instructions", "input", "messages"};
    const auto found = members_of(body, root, kNames);
    Collector collector(body);
    collector.add(Kind::kModel, found[0]);
    collector.add_tools(found[1]);
    collector.add(Kind::kPrompt, found[2]);
    collector.add(Kind::kPrompt, found[3]);
    const bool listed = found[4] && json_kind(body, *found[4]) == '[';
    if (listed) {
        collector.add_messages(found[4]);
    } else {
        collector.add(Kind::kPrompt, found[4]);
    }
    collector.add_messages(found[5]);
    return collector.take();
}

void append_piece_text(std::string_view body, const PromptPiece& piece, std::string& out) {
    if (json_kind(body, piece.value) == '"') {
        out += json_string(body, piece.value);
    } else {
        append_minimal_json(body, piece.value, out);
    }
}

std::string piece_path(const PromptPiece& piece) {
    const std::string message = "messages[" + std::to_string(piece.item) + "].";
    switch (piece.kind) {
        case Kind::kModel: return "model";
        case Kind::kTool: return "tools[" + std::to_string(piece.item) + "]";
        case Kind::kRole: return message + "role";
        case Kind::kName: return message + "name";
        case Kind::kToolCalls: return message + "tool_calls";
        case Kind::kToolCallId: return message + "tool_call_id";
        case Kind::kPrompt: return "prompt";
        case Kind::kText:
            if (piece.part < 0) return message + "content";
            return message + "content[" + std::to_string(piece.part) + "].text";
        case Kind::kPart: return message + "content[" + std::to_string(piece.part) + "]";
    }
    return "";
}

}  // namespace spolia
