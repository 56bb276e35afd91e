#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "adapters/text_model.h"
#include "broker/core/anchor_keeper.h"
#include "broker/core/core_state.h"
#include "broker/core/generation.h"
#include "broker/core/metrics.h"
#include "reuse/engine.h"

namespace spolia {

// The generations whose prompts are in place: decodes them together, samples, and tells their
// sinks. Engine thread only.
class RunningSet {
public:
    RunningSet(Engine& engine, const TextModel& text, CoreState& state, AnchorKeeper& anchors,
               Metrics& metrics)
        : engine_(engine), text_(text), state_(state), anchors_(anchors), metrics_(metrics) {}

    // Takes over a generation whose prompt was just filled in; samples its first token.
    void start(std::unique_ptr<Generation> generation);
    // One more token for each. An engine that fails ends all of them with its error.
    void step();
    // Steps for about `ms`, at least once and at most kSliceSteps times.
    void run_for(double ms);
    // False when no such generation runs.
    bool cancel(GenerationId id);
    void cancel_all();

    bool empty() const { return running_.empty(); }

private:
    static constexpr int kSliceSteps = 64;

    // Samples the next token and takes it; why the generation ends with it, if it does.
    std::optional<FinishReason> sample(Generation& generation);
    std::optional<FinishReason> take(Generation& generation, Token token);
    bool context_full(const Generation& generation) const;
    void finish(Generation& generation, FinishReason reason);
    void fail_all(const Error& error);

    Engine& engine_;
    const TextModel& text_;
    CoreState& state_;
    AnchorKeeper& anchors_;
    Metrics& metrics_;
    std::vector<std::unique_ptr<Generation>> running_;
};

}  // namespace spolia
