#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/chunk_registry.h"
#include "broker/core/core_state.h"
#include "broker/core/donor_keeper.h"
#include "broker/core/metrics.h"
#include "broker/core/service_options.h"
#include "broker/service.h"
#include "index/result.h"
#include "index/thread_annotations.h"
#include "reuse/block_store.h"
#include "reuse/engine.h"

namespace spolia {

// A registered chunk as clients see it.
ChunkInfo chunk_info(const RegisteredChunk& chunk, const BlockStore& store, const KvLayout& layout);

// A text whose chunks are encoded one by one.
struct PutJob {
    std::string tenant;
    std::optional<std::string> name;  // to register them by, may be empty; nullopt: not to register
    std::vector<EncodeQueue::Chunk> chunks;
    std::function<void(Result<std::vector<ChunkInfo>>)> done;
    size_t n_encoded = 0;
};

// What the engine does when no prompt waits, in small units, most wanted first: registered chunks,
// because somebody waits for them; pages of exact prefixes, because their sequences may be
// overwritten; chunks seen in prompts.
class BackgroundWork {
public:
    BackgroundWork(Engine& engine, BlockStore& store, ChunkRegistry& registry, CoreState& state,
                   DonorKeeper& donors, Metrics& metrics, const ServiceOptions& options)
        : engine_(engine),
          store_(store),
          registry_(registry),
          state_(state),
          donors_(donors),
          metrics_(metrics),
          options_(options) {}

    // Any thread. On success the job's `done` is called on the engine thread; kOverloaded when too
    // many wait, and then `done` is not called.
    Status put(PutJob& job) EXCLUDES(mutex_);
    size_t n_puts() const EXCLUDES(mutex_);

    // The rest is the engine thread's.
    bool has_puts() const { return n_puts() > 0; }
    bool has_work() const EXCLUDES(mutex_);
    // One unit: at most one chunk encoded or one page captured. Where a tick ends the encoding, the
    // chunk is tried again in a later step; after a few such attempts in a row ticks are not asked,
    // so that a busy server gets its chunks, too.
    void step(const PrefillTick& tick) EXCLUDES(mutex_);
    // Ends all jobs with kCancelled, and refuses those to come.
    void stop() EXCLUDES(mutex_);

private:
    static constexpr int kAttemptsMax = 4;

    bool step_put(const PrefillTick& tick);
    bool step_page();
    bool step_seen(const PrefillTick& tick);
    // kCancelled: to be tried again.
    Status encode(const EncodeQueue::Chunk& chunk, const PrefillTick& tick);
    Status make_block(const EncodeQueue::Chunk& chunk, const PrefillTick& tick);
    Status capture(const SequenceTable::Page& page, const Key128& key);
    void finish_put(Status status);
    void forget(const PutJob& job);

    Engine& engine_;
    BlockStore& store_;
    ChunkRegistry& registry_;
    CoreState& state_;
    DonorKeeper& donors_;
    Metrics& metrics_;
    const ServiceOptions& options_;

    int n_cancelled_ = 0;  // attempts in a row

    mutable Mutex mutex_;
    // Only the engine thread takes jobs out, so it may use the first one unlocked.
    std::deque<PutJob> puts_ GUARDED_BY(mutex_);
    bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace spolia
