#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "adapters/llama/prefill_rows.h"
#include "adapters/llama/sequence_cache.h"
#include "reuse/engine.h"

namespace spolia {

// Reuse for models that the fused pass does not know: active rows are grouped into contiguous
// spans, which llama_decode computes one after the other. It only appends, so before each span the
// rows in front of it are handed over again: copies, but no compute. Not for selectors that need
// the fused pass.
Status span_prefill(SequenceCache& cache, const PrefillPlan& plan, const PrefillRows& rows,
                    const RopeSpec& rope, const PrefillTick& tick, PrefillReport& report);

// Encodes a chunk behind `sink` with llama_decode in a sequence of its own, which is left empty.
Result<std::unique_ptr<KvBlock>> span_encode(SequenceCache& cache, int32_t sequence,
                                             std::span<const Token> sink, BlockMeta meta,
                                             const RopeSpec& rope, const PrefillTick& tick);

// Copies rows [begin, begin + meta.tokens.size()) of a sequence as they stand.
std::unique_ptr<KvBlock> copy_rows(const SequenceCache& cache, int32_t sequence, int32_t begin,
                                   BlockMeta meta);

}  // namespace spolia
