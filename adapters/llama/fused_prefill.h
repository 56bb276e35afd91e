#pragma once

#include <span>

#include "adapters/llama/blend_graph.h"
#include "adapters/llama/prefill_rows.h"
#include "reuse/engine.h"

namespace spolia {

// Selective recompute (CacheBlend, arXiv 2405.16444) in one pass over the active rows. The cells of
// `slabs` (one a layer) hold the placed blocks; rows.fresh and what plan.selector picks among
// rows.mendable (null: nothing) are computed and replace theirs. For a selector that wants
// attention rows.fresh are computed twice, first over the blocks as they are. Leaves the last row's
// logits in `logits` and fills in the report's counts, check_us and compute_us.
Status fused_prefill(BlendGraph& graph, std::span<const KvSlab> slabs, const PrefillPlan& plan,
                     const PrefillRows& rows, const PrefillTick& tick, std::span<float> logits,
                     PrefillReport& report);

}  // namespace spolia
