#pragma once

#include <span>
#include <vector>

#include "adapters/text_model.h"
#include "broker/core/reuse_policy.h"
#include "broker/guard/guard.h"
#include "broker/quality/prompt.h"
#include "broker/quality/quality_bench.h"
#include "index/result.h"
#include "reuse/engine.h"

namespace spolia {

// Teaches a guard by prompts, as if a server's clients had asked them in random order and all were
// shadowed. `policy` is a guarded one. Returns what is known then, `known` included.
Result<std::vector<RungRecord>> teach_guard(Engine& engine, const TextModel& text,
                                            std::span<const QualityPrompt> prompts,
                                            ReusePolicy policy,
                                            const std::vector<RungRecord>& known,
                                            const QualityProgress& progress);

}  // namespace spolia
