#pragma once

#include <span>
#include <vector>

#include "adapters/text_model.h"
#include "broker/guard/guard.h"
#include "broker/quality/policy_setting.h"
#include "broker/quality/prompt.h"
#include "broker/quality/quality_bench.h"
#include "index/result.h"
#include "reuse/engine.h"

namespace spolia {

// Teaches a guard by prompts, as if a server's clients had asked them and all were shadowed.
// Returns what it knows then, `options.rungs` and these. Fails with kUnsupported where the model
// can't run the setting.
Result<std::vector<RungRecord>> teach_guard(Engine& engine, const TextModel& text,
                                            std::span<const QualityPrompt> prompts,
                                            const PolicySetting& setting,
                                            const QualityOptions& options,
                                            const QualityProgress& progress);

}  // namespace spolia
