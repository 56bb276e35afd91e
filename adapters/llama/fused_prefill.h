#pragma once

#include <cstdint>
#include <span>

#include "adapters/llama/blend_graph.h"
#include "adapters/llama/prefill_rows.h"
#include "reuse/engine.h"

namespace spolia {

// Selective recompute (CacheBlend, arXiv 2405.16444) in one pass over the active rows: cells hold
// the placed blocks; fresh and chosen rows are computed and replace theirs.
class FusedPrefill {
public:
    FusedPrefill(BlendGraph& graph, std::span<const KvSlab> slabs, std::span<const Token> tokens,
                 const PrefillTick& tick);

    // Computes rows.fresh and what `selector` picks among rows.mendable (null: nothing), and the
    // logits of the last row. Fills in the report's counts, check_us and compute_us.
    Status run(const PrefillRows& rows, const Selector* selector, std::span<float> logits,
               PrefillReport& report);

private:
    Status run_pass(const BlendGraph::Pass& pass, std::span<const int32_t> rows,
                    std::span<float> deviations, std::span<float> logits);

    BlendGraph& graph_;
    std::span<const KvSlab> slabs_;
    std::span<const Token> tokens_;
    const PrefillTick& tick_;
};

}  // namespace spolia
