#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/fingerprint.h"
#include "index/outline.h"
#include "index/segment.h"

namespace spolia {

// The words of a chunk (PromptOutline::words), ascending, each once.
using ChunkWords = std::vector<uint64_t>;

// Approximations of approximations ... of dense rows: what is deeper is not kept.
inline constexpr int32_t kAnchorDepthMax = 3;
// Chunks behind more others than this get no anchors: matching takes time in the square of it.
inline constexpr size_t kAnchorContextMax = 128;

// A chunk that stood in front of another one.
struct ContextChunk {
    Key128 key;  // chunk_key()
    std::shared_ptr<const ChunkWords> words;
};

// The rows of a chunk as they came out behind certain text: KVCOMM's anchor (arXiv 2510.12872),
// kept as rows, not as their difference to the chunk encoded alone, so that no base is needed to
// use it. Keys cover the tenant, so no anchor is ever found by another one.
struct Anchor {
    Key128 chunk;  // chunk_key()
    Key128 block;  // anchor_key(): what its rows have in the block store
    std::vector<ContextChunk> context;
    // 0: its rows were computed densely, all text in front of them was. One more than the deepest
    // anchor under the prompt that it was decoded behind.
    int32_t depth = 0;
    uint64_t bytes = 0;  // of the block and the context
};

// Names a chunk behind the chunks of a context. Text between chunks does not count: what an agent's
// instructions do to a message is small beside what other messages do, and rows that were made
// behind one agent's are to be found by the others.
Key128 anchor_key(const Key128& chunk, std::span<const ContextChunk> context);

// All chunks of a prompt, in order.
std::vector<ContextChunk> chunks_of(std::span<const Segment> segments,
                                    const PromptOutline& outline);

}  // namespace spolia
