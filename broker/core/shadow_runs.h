#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "anchors/anchor.h"
#include "broker/core/anchor_keeper.h"
#include "broker/core/core_state.h"
#include "broker/core/generation.h"
#include "broker/core/guard_trace.h"
#include "broker/core/metrics.h"
#include "broker/core/service_options.h"
#include "index/result.h"
#include "reuse/block_store.h"
#include "reuse/engine.h"

namespace spolia {

// Computes guarded prompts a second time, the other way, and tells the guard how far the first
// tokens are apart. A request that ran dense is composed by each rung that still has to
// learn: that is cheap, and how the guard does. One that a rung served is computed densely: that is
// how the guard finds out when it is wrong. Then cheaper rungs can learn from it as well, or a
// demoted one would never get another chance while a dearer one serves. Engine thread only; each
// run takes an idle sequence and leaves it empty.
class ShadowRuns {
public:
    ShadowRuns(Engine& engine, BlockStore& store, CoreState& state, AnchorKeeper& anchors,
               Metrics& metrics, const ServiceOptions& options);

    // A prompt was just filled in, or left to another server: queues its shadows if they are
    // wanted. Takes its ladder along.
    void offer(Generation& generation);
    bool empty() const { return jobs_.empty(); }
    // Requests that wait, and the one under way. Any thread.
    size_t size() const { return n_jobs_; }
    // One prefill. Where a tick ends it, it is tried again later, a few times.
    void step(const PrefillTick& tick);
    // Writes what was learned since the last time.
    void save();

private:
    struct Job {
        std::string request_id;
        std::string tenant;
        std::vector<Token> tokens;
        std::vector<Segment> segments;
        std::vector<ContextChunk> chunks;  // empty where anchors are not wanted
        PromptOutline outline;
        GuardBudget budget;
        std::vector<Rung> ladder;
        GuardTrace trace;
        std::vector<size_t> wanted;  // rungs to compare, the last one first
        // Of the request's own prefill, dense ones once they are known; none before that where the
        // prompt was computed elsewhere.
        std::vector<float> logits;
        int attempts = 0;  // at the current rung
    };
    // A rung is compared anew after so many cancelled attempts no more.
    static constexpr int kAttemptsMax = 4;
    // Samples that a crash may cost.
    static constexpr int kUnsavedMax = 16;
    static constexpr size_t kSuspectsMax = 256;

    std::vector<size_t> wanted_rungs(const Generation& generation);
    bool by_chance();
    void push(Job job);
    void finish_rung();

    // Logits of the job's other way.
    Result<std::vector<float>> compute(const Job& job, const RungTrace& rung,
                                       const PrefillTick& tick);
    Result<std::vector<float>> prefill(const Job& job, PrefillPlan plan, const PrefillTick& tick);
    void learn(Job& job, std::vector<float> logits);
    void reach_changed(const Job& changed, size_t rung);
    GuardChange observe(const Job& job, size_t rung, const GuardSample& sample);
    GuardChange learn_of_served(const Job& job, size_t rung, const GuardSample& sample);
    void suspect(const Job& job, const RungTrace& rung);
    void renew_suspects();

    Engine& engine_;
    BlockStore& store_;
    CoreState& state_;
    AnchorKeeper& anchors_;
    Metrics& metrics_;
    const ServiceOptions& options_;
    const std::filesystem::path file_;

    std::deque<Job> jobs_;
    std::atomic<size_t> n_jobs_ = 0;
    std::mt19937_64 random_{std::random_device{}()};
    int n_unsaved_ = 0;
    // Blocks under requests that were over their budget, with their tokens.
    struct Suspect {
        Key128 key;
        std::vector<Token> tokens;  // of a chunk encoded alone; of an anchor none
    };
    std::deque<Suspect> suspects_;
};

}  // namespace spolia
