#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "anchors/anchor.h"
#include "index/fingerprint.h"
#include "reuse/selector.h"

namespace spolia {

// A chunk of a prompt, in front of the one that rows are wanted for.
struct ChunkInFront {
    Key128 key;        // chunk_key()
    int32_t part = 0;  // its segment; see Sentence::part
};

// An anchor seen from where it would be used.
struct AnchorMatch {
    std::shared_ptr<const Anchor> anchor;
    KnownContext known;
    int32_t n_known = 0;  // chunks in front, here and there, in the same order
    int32_t n_lost = 0;   // chunks in front only there

    // How much better its rows are to begin with than rows encoded alone, for which it is 0, in
    // half chunks: what is lost has to be made good, but not all of it was of consequence.
    int32_t worth() const { return worth(n_known, n_lost); }
    static int32_t worth(int32_t n_known, int32_t n_lost) { return 2 * n_known - n_lost; }
};

// `here` are the chunks in front, in the order of the prompt, of the one in part `part`. What is in
// the longest common subsequence of both contexts is known.
AnchorMatch match_context(std::shared_ptr<const Anchor> anchor, std::span<const ChunkInFront> here,
                          int32_t part);

// The anchor of most worth; among equals the one of least depth. nullopt where there is none.
std::optional<AnchorMatch> best_anchor(std::span<const std::shared_ptr<const Anchor>> anchors,
                                       std::span<const ChunkInFront> here, int32_t part);

}  // namespace spolia
