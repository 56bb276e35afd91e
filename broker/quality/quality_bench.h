#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "adapters/text_model.h"
#include "broker/guard/guard.h"
#include "broker/quality/figures.h"
#include "broker/quality/policy_setting.h"
#include "broker/quality/prompt.h"
#include "index/result.h"
#include "reuse/engine.h"

namespace spolia {

struct QualityOptions {
    int32_t tokens_max = 32;  // of each answer
    // Of guarded policies: what is promised, and what is known of their rungs at the start.
    GuardBudget budget = {};
    std::vector<RungRecord> rungs = {};
};

// Told how many prompts are done, with all ways of computing them.
using QualityProgress = std::function<void(size_t n_done, size_t n_prompts)>;

// Computes each prompt densely and with every policy, in turn, and compares. The dense way comes
// first in the result, then the policies in the order given. A prompt's dense run is made once,
// and a chunk is encoded once. Each guarded policy has a guard of its own, which learns from the
// prompts as they come. Fails with kUnsupported where the model can't run a policy, and with
// kInvalidArgument where a policy's parameters don't suit it.
Result<std::vector<WayFigures>> measure_quality(Engine& engine, const TextModel& text,
                                                std::span<const QualityPrompt> prompts,
                                                std::span<const PolicySetting> settings,
                                                const QualityOptions& options,
                                                const QualityProgress& progress);

}  // namespace spolia
