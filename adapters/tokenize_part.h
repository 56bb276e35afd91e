#pragma once

#include <string_view>

#include "adapters/text_model.h"
#include "index/result.h"
#include "index/span_map.h"
#include "index/token.h"

namespace spolia {

// A text that will be part of prompts, tokenized before it is.
struct TokenizedPart {
    TokenizedText text;  // the part behind a line break
    // The part's bytes whose tokens do not depend on what stands in front of it: all of them, but
    // for the first word with a vocabulary that puts a space before some texts (SentencePiece's
    // add_space_prefix: where a prompt begins, and behind control tokens).
    TextRange settled;
};

// kUnsupported: the vocabulary does not let text be mapped onto tokens.
Result<TokenizedPart> tokenize_part(const TextModel& model, std::string_view part);

}  // namespace spolia
