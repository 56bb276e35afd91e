#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "adapters/llama/blend_graph.h"
#include "index/result.h"
#include "reuse/block.h"
#include "reuse/engine.h"
#include "reuse/rope.h"

namespace spolia {

// Encodes chunks alone behind the sink prefix, in KV tensors of its own beside the llama context's.
class IsolatedEncoder {
public:
    // `graph` and `sink` outlive this.
    IsolatedEncoder(BlendGraph& graph, const DecoderWeights& weights, const KvLayout& layout,
                    std::span<const Token> sink);
    ~IsolatedEncoder();

    // A block in the canonical frame with the given metadata (tokens, keys); the sink's rows are
    // cut off and K is rotated back by their number.
    Result<std::unique_ptr<KvBlock>> encode(BlockMeta meta, const RopeSpec& rope,
                                            const PrefillTick& tick);

    // Bytes of the KV tensors.
    size_t memory_bytes() const;

private:
    Status reserve(int32_t n_cells);

    struct Cells;
    BlendGraph& graph_;
    const DecoderWeights& weights_;
    KvLayout layout_;
    std::span<const Token> sink_;
    std::unique_ptr<Cells> cells_;  // grown to the longest chunk seen
};

// Rotates a block's K in place by `delta` positions.
void shift_block(KvBlock& block, const RopeSpec& rope, int32_t delta);

}  // namespace spolia
