#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <thread>

#include "adapters/text_model.h"
#include "broker/core/anchor_keeper.h"
#include "broker/core/background_work.h"
#include "broker/core/core_state.h"
#include "broker/core/donor_keeper.h"
#include "broker/core/generation.h"
#include "broker/core/metrics.h"
#include "broker/core/prompt_filler.h"
#include "broker/core/running_set.h"
#include "broker/core/service_options.h"
#include "broker/core/shadow_runs.h"
#include "index/result.h"
#include "index/thread_annotations.h"
#include "reuse/engine.h"

namespace spolia {

// The engine thread. Requests wait in a bounded queue for an idle sequence; prompts are computed
// one at a time while the generations that run go on in slices between batches; background work
// takes what is left, and shadows what nobody wants at all. Public functions are for any thread.
class Scheduler {
public:
    Scheduler(Engine& engine, const TextModel& text, BlockStore& store, ChunkRegistry& registry,
              CoreState& state, AnchorKeeper& anchors, DonorKeeper& donors, Metrics& metrics,
              const ServiceOptions& options);
    // As stop().
    ~Scheduler();
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;

    // kOverloaded when the queue is full, kCancelled once stopped; then the sink is not called.
    Result<GenerationId> submit(std::unique_ptr<Generation> generation) EXCLUDES(mutex_);
    void cancel(GenerationId id) EXCLUDES(mutex_);
    // See BackgroundWork::put().
    Status put(PutJob& job) EXCLUDES(mutex_);
    // Ends everything with kCancelled and joins the engine thread. Not from a sink.
    void stop() EXCLUDES(mutex_);

    bool running() const EXCLUDES(mutex_);
    size_t queue_depth() const EXCLUDES(mutex_);
    size_t n_shadows() const { return shadows_.size(); }
    size_t n_puts() const { return background_.n_puts(); }

private:
    void run();
    // Waits until there is something to do; false: to stop.
    bool wait_for_work() EXCLUDES(mutex_);
    void process_cancels() EXCLUDES(mutex_);
    std::unique_ptr<Generation> take_admissible() EXCLUDES(mutex_);
    std::unique_ptr<Generation> take_waiting(GenerationId id) EXCLUDES(mutex_);
    void serve(std::unique_ptr<Generation> generation);
    bool tick(Clock::time_point& batch_begin);
    bool busy_elsewhere() const;
    bool background_due() const;
    // Background work has had its share of the time of what is busy elsewhere.
    bool background_rests() const;
    void do_background();
    void earn_background(double busy_ms);
    bool shadow_due() const;
    void do_shadow();
    bool wanted() const EXCLUDES(mutex_);
    bool has_idle_sequence() const;
    // Whether background work holds up a request that could begin now, or the end.
    bool holds_up() const EXCLUDES(mutex_);
    void end_unstarted(Generation& generation, FinishReason reason);
    void end_all();

    // Cancellations that wait for the engine thread; far more than there can be generations.
    static constexpr size_t kCancelsMax = 4096;

    CoreState& state_;
    AnchorKeeper& anchors_;
    Metrics& metrics_;
    const ServiceOptions& options_;
    PromptFiller filler_;
    RunningSet running_;
    BackgroundWork background_;
    ShadowRuns shadows_;

    // The engine thread's own.
    GenerationId filling_ = 0;
    bool filling_cancelled_ = false;
    // Time background work may take from running generations; spent in advance.
    double background_credit_ms_ = 0;
    // See background_rests().
    Clock::time_point next_background_at_ = Clock::now();
    // Shadows pause so long after each that they take their share of all time, idle or not.
    Clock::time_point next_shadow_at_ = Clock::now();

    mutable Mutex mutex_;
    CondVar wake_;
    std::deque<std::unique_ptr<Generation>> waiting_ GUARDED_BY(mutex_);
    std::set<GenerationId> cancels_ GUARDED_BY(mutex_);
    GenerationId next_id_ GUARDED_BY(mutex_) = 1;
    bool put_arrived_ GUARDED_BY(mutex_) = false;
    bool stopping_ GUARDED_BY(mutex_) = false;

    std::thread thread_;
};

}  // namespace spolia
