#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "broker/core/planner.h"
#include "broker/core/reuse_policy.h"
#include "broker/quality/encoded_chunks.h"
#include "broker/quality/prompt.h"
#include "index/result.h"
#include "reuse/engine.h"

namespace spolia {

// What a prompt came to, computed in one way.
struct PromptRun {
    PrefillReport report;
    double prefill_ms = 0;
    // What mending cost, in rows computed through all layers: a policy with check layers computes
    // its candidates in front of them, one that sees the query's attention computes the query
    // twice.
    double mend_work_rows = 0;
    std::vector<float> logits;  // of the first token
    std::vector<Token> tokens;  // greedy; an end token is the last
    std::string output;         // their text, up to a stop string
};

// Chunks that have no block of their own, but perhaps one of a text like theirs.
struct EditedChunks {
    std::vector<size_t> parts;  // segments of the prompt
    std::vector<Donor> donors;
};

// Computes prompts in one sequence of an engine, with the blocks of their chunks. Blocks
// stay for the prompts that follow, within a bound. One thread.
class PromptRunner {
public:
    static constexpr int32_t kSequence = 0;

    // Answers end after `tokens_max` tokens. Engine and text model outlive the runner.
    PromptRunner(Engine& engine, const TextModel& text, int32_t tokens_max)
        : engine_(engine), text_(text), tokens_max_(tokens_max), blocks_(engine) {}

    Result<PromptRun> dense(const QualityPrompt& prompt);
    // With every chunk from its block, mended as the policy says, or a rung of its ladder.
    Result<PromptRun> composed(const QualityPrompt& prompt, const ReusePolicy& policy,
                               const Rung* rung = nullptr, const EditedChunks& edited = {});
    // What composed() carries out.
    PromptPlan plan(const QualityPrompt& prompt, const ReusePolicy& policy,
                    const Rung* rung = nullptr, const EditedChunks& edited = {}) const;
    // The blocks of all chunks where composed() puts them; borrowed until the next call of either.
    Result<std::vector<PlacedBlock>> placed_blocks(const QualityPrompt& prompt,
                                                   const ReusePolicy& policy);

private:
    Result<std::vector<PlacedBlock>> place(const QualityPrompt& prompt,
                                           std::span<const PlannedBlock> planned);
    Result<PromptRun> run(const QualityPrompt& prompt, const PrefillPlan& plan);

    Engine& engine_;
    const TextModel& text_;
    const int32_t tokens_max_;
    EncodedChunks blocks_;
};

}  // namespace spolia
