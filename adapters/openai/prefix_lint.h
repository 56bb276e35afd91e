#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/openai/prompt_pieces.h"
#include "index/result.h"

namespace spolia {

// A request's prompt, piece by piece, to be compared with others.
struct LintPrompt {
    struct Piece {
        PromptPiece::Kind kind = PromptPiece::Kind::kModel;
        std::string path;
        std::string text;
    };
    std::vector<Piece> pieces;
    size_t bytes = 0;  // of all texts

    static Result<LintPrompt> read(std::string_view body);
};

// Why a prompt did not begin as another did: a guess, from the bytes that differ.
enum class PrefixBreak : uint8_t {
    kNone,  // one begins with all of the other
    kModel,
    kToolOrder,
    kKeyOrder,  // of a JSON object
    kTools,     // other tools
    kWhiteSpace,
    kDocumentOrder,
    kTimestamp,
    kRandomId,
    kNewText,
};

std::string_view to_string(PrefixBreak kind);
// What to do about it; empty where there is nothing to do.
std::string_view advice(PrefixBreak kind);

struct PrefixLint {
    PrefixBreak kind = PrefixBreak::kNone;
    size_t shared_bytes = 0;  // in front of the first difference
    // Of the second prompt behind the difference, found in the first one as well: what would have
    // been shared without the difference, at most.
    size_t lost_bytes = 0;
    std::string path;     // of the difference in the second prompt
    size_t offset = 0;    // in the text there
    std::string was, is;  // excerpts around the difference
};

// Bytes in front of the first difference.
size_t shared_prompt_bytes(const LintPrompt& before, const LintPrompt& prompt);

PrefixLint lint_prefix(const LintPrompt& before, const LintPrompt& prompt);

}  // namespace spolia
