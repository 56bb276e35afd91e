#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/text_model.h"
#include "broker/core/anchor_keeper.h"
#include "broker/core/background_work.h"
#include "broker/core/chunk_registry.h"
#include "broker/core/core_state.h"
#include "broker/core/donor_keeper.h"
#include "broker/core/metrics.h"
#include "broker/core/prompt_filler.h"
#include "broker/core/service_options.h"
#include "broker/quality/engine_slice.h"
#include "broker/quality/prompt.h"
#include "broker/request.h"
#include "index/result.h"
#include "reuse/block_store.h"
#include "reuse/engine.h"

namespace spolia {

// A way of serving a team's calls, by a policy of the broker.
struct TeamSetting {
    std::string name;
    ReuseOptions reuse;
    bool from_nothing = false;  // sequences are emptied before each call
};

// What an agent's call came to.
struct TeamCall {
    Receipt receipt;            // prompt_ms is what serving it took, planning and placing included
    double keep_ms = 0;         // behind the first token: keeping the prompt's rows as anchors
    std::vector<float> logits;  // of the first token
    std::string output;         // greedy, up to a stop string
};

// What a way of serving keeps for calls to come.
struct PoolSize {
    uint64_t anchors = 0;
    uint64_t bytes = 0;
};

// One way of serving a team's calls.
class TeamServer {
public:
    virtual ~TeamServer() = default;
    // The call of the agent in this place of the team. Its message follows the prompt: `said`,
    // where that is not empty, else what it answers, `tokens_max` at most.
    virtual Result<TeamCall> call(const QualityPrompt& prompt, size_t agent,
                                  std::span<const Token> said, int32_t tokens_max) = 0;
    virtual PoolSize pool() const = 0;
};

// A policy of the broker, with all that a server has for it: blocks, anchors, cost
// model, sequences. What a server does in idle time is done between calls. One thread.
class TeamWay final : public TeamServer {
public:
    // `n_agents` sequences from `first_sequence` on are its own, so that each agent's own prefix
    // stays where it is. Fidelity exact: what sequences hold, nothing else.
    static Result<std::unique_ptr<TeamWay>> open(Engine& engine, const TextModel& text,
                                                 int32_t first_sequence, int32_t n_agents,
                                                 const TeamSetting& setting, int32_t check_layer);

    Result<TeamCall> call(const QualityPrompt& prompt, size_t agent, std::span<const Token> said,
                          int32_t tokens_max) override;
    PoolSize pool() const override;

private:
    TeamWay(Engine& engine, const TextModel& text, int32_t first_sequence, int32_t n_agents,
            const TeamSetting& setting, ServiceOptions options, std::unique_ptr<BlockStore> store);

    Result<std::unique_ptr<Generation>> prepare(const QualityPrompt& prompt) const;
    // All sequences are empty: the next prompt starts from nothing.
    void forget_sequences();
    Status answer(Generation& generation, const std::vector<std::string>& stops, int32_t tokens_max,
                  std::string& output);
    Status say(Generation& generation, std::span<const Token> said);
    void work_in_background();

    EngineSlice engine_;
    const TextModel& text_;
    const TeamSetting setting_;
    const ServiceOptions options_;
    const std::unique_ptr<BlockStore> store_;
    CoreState state_;
    Metrics metrics_;
    ChunkRegistry registry_;
    AnchorKeeper anchors_;
    PromptFiller filler_;
    DonorKeeper donors_;
    BackgroundWork background_;
};

}  // namespace spolia
