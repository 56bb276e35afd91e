#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "adapters/text_model.h"
#include "index/fingerprint.h"
#include "index/outline.h"
#include "index/token.h"
#include "reuse/selector.h"

namespace spolia {

// A chunk that has a block, encoded alone.
struct DonorText {
    Key128 key;  // chunk_key() of the tokens, and what the block is found by
    std::vector<Token> tokens;
    PromptOutline
        outline;  // of the chunk as the only part; its sentences' rows are tokens' indices
};

// `tokens` are those of the block under `key`. Their text is put together of their pieces.
std::shared_ptr<const DonorText> make_donor_text(const TextModel& model, const Key128& key,
                                                 std::span<const Token> tokens);

// Rows of a prompt that have the same tokens as rows of a donor's block.
struct DonorRun {
    TokenSpan rows;
    int32_t source_row = 0;                     // of the block, for the first of them
    std::shared_ptr<const KnownContext> known;  // what has changed around them
};

// A text nearly the same as a chunk of the prompt, and the rows that the chunk can take from it.
struct Donor {
    size_t part = 0;  // the chunk's segment
    std::shared_ptr<const DonorText> text;
    std::vector<DonorRun> runs;  // ascending, disjoint

    int32_t n_rows() const;
};

// Tokens that follow each other in both texts: fewer are not worth the rows around them, which
// attended to something else.
inline constexpr int32_t kDonorRunMin = 8;

// What the chunk in segment `part`, rows `chunk` of the prompt, can take from `text`: only rows of
// equal tokens. nullopt where that is less than half of it.
std::optional<Donor> make_donor(size_t part, TokenSpan chunk, std::span<const Token> prompt,
                                std::shared_ptr<const DonorText> text);

}  // namespace spolia
