#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "anchors/anchor_pool.h"
#include "anchors/context_match.h"
#include "broker/core/residence.h"
#include "index/segment.h"
#include "index/token.h"
#include "reuse/selector.h"

namespace spolia {

// The block that a chunk's rows would be taken from.
struct ChunkSource {
    Key128 key;
    Residence residence = Residence::kAbsent;
    std::shared_ptr<const KnownContext> known = nullptr;  // of an anchor's block
    int32_t depth = 0;                                    // see Anchor
};

// The anchors that a prompt may use.
struct UsableAnchors {
    const AnchorSnapshot* anchors = nullptr;  // null: none
    int32_t depth_max = kAnchorDepthMax;
};

// Chooses between the block of a chunk encoded alone and the anchors that it has. Borrows all that
// it is made of.
class ChunkSources {
public:
    ChunkSources(std::span<const Token> tokens, std::span<const Segment> segments,
                 const UsableAnchors& usable, const FindResidence& find);

    // `part`: index of a segment that is a chunk. An anchor is taken where it knows more than the
    // chunk encoded alone, or about as much and that is not there. One that has much to forget is
    // not: the chunk is computed then, and leaves a better one.
    ChunkSource of(size_t part) const;

private:
    std::span<const Token> tokens_of(size_t part) const;

    std::span<const Token> tokens_;
    std::span<const Segment> segments_;
    const UsableAnchors usable_;
    const FindResidence& find_;
    std::vector<ChunkInFront> chunks_;  // all of the prompt
};

}  // namespace spolia
