#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "anchors/anchor_pool.h"
#include "broker/guard/guard.h"
#include "broker/request.h"
#include "index/result.h"
#include "reuse/block_store.h"
#include "reuse/engine.h"

namespace spolia {

// A chunk that was registered ahead of time.
struct ChunkInfo {
    Key128 key;
    std::string name;  // the client's, may be empty
    int32_t n_tokens = 0;
    bool encoded = false;  // its KV is in a tier
    std::string tier;      // ram | disk | none
    uint64_t bytes = 0;
};

// What would be reused, without computing anything.
struct PlanPreview {
    struct Part {
        SegmentRole role;
        TokenSpan span;
        std::string action;  // exact | reuse | compute
        std::string reason;  // for compute: the miss
        Key128 key;          // chunks only
    };
    std::vector<Part> parts;
    std::string policy;
    double dense_ms = 0;  // predicted by the cost model; 0 before it has measured
    double chosen_ms = 0;
};

// Texts of chunks that are found by likeness.
struct DonorStats {
    size_t texts = 0;
    size_t waiting = 0;  // blocks that are still to be looked at
};

struct ServiceStats {
    BlockStoreStats blocks;
    EngineLimits limits;
    EngineMemory memory;
    int32_t sequences_busy = 0;
    int32_t queue_depth = 0;
    int32_t encode_queue_depth = 0;
    int32_t shadow_queue_depth = 0;
    uint64_t requests = 0;
    std::vector<RungState> guard;
    AnchorPool::Stats anchors;
    DonorStats donors;
};

using GenerationId = uint64_t;

// What the HTTP handlers and the SDK ask of the broker's core. Thread-safe.
class Service {
public:
    virtual ~Service() = default;

    virtual const ModelInfo& model() const = 0;
    virtual const TextModel& text() const = 0;
    virtual bool ready() const = 0;

    // Queues a generation. kContextTooLong and kInvalidArgument are found here; kOverloaded when
    // the queue is full. After success the sink is called; after failure it never is.
    virtual Result<GenerationId> submit(GenerateRequest request,
                                        std::shared_ptr<GenerateSink> sink) = 0;
    // Ends a generation soon; its sink still gets on_done with kCancelled. Unknown ids are ignored.
    virtual void cancel(GenerationId id) = 0;

    // Registers a chunk of text for a tenant and encodes it when the engine is next free; `done` is
    // called once, on the engine thread (or at once on failure to queue).
    virtual void put_chunk(std::string tenant, std::string name, std::string text,
                           std::function<void(Result<std::vector<ChunkInfo>>)> done) = 0;
    // The same without registering: what is encoded is found in prompts of which the text is a
    // part, and kept as long as other chunks that prompts had. A text that is too short for a chunk
    // has none, and that is no failure.
    virtual void encode_text(std::string tenant, std::string text,
                             std::function<void(Result<std::vector<ChunkInfo>>)> done) = 0;
    virtual Result<ChunkInfo> get_chunk(const std::string& tenant, const Key128& key) const = 0;
    virtual std::vector<ChunkInfo> list_chunks(const std::string& tenant) const = 0;
    // False when there is no such chunk.
    virtual bool delete_chunk(const std::string& tenant, const Key128& key) = 0;

    // Whether the KV of all chunks of a text is in a tier, for a prompt of which it is a part.
    virtual bool is_warm(const std::string& tenant, const std::string& text) const = 0;

    // Of one of the last requests, with what was measured since; kNotFound otherwise.
    virtual Result<Receipt> receipt(const std::string& tenant, const std::string& id) const = 0;

    // Keeps rows that another process computed, densely, as pages of an exact prefix: those of
    // whole pages. Takes as long as copying them.
    virtual void keep_rows(const std::string& tenant, std::span<const Token> tokens,
                           const RowSource& rows) = 0;

    virtual Result<PlanPreview> plan(const GenerateRequest& request) const = 0;
    virtual ServiceStats stats() const = 0;
    // Prometheus text format.
    virtual std::string metrics_text() const = 0;
};

}  // namespace spolia
