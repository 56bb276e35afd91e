#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "index/result.h"
#include "index/token.h"
#include "reuse/block.h"
#include "reuse/block_store.h"
#include "reuse/rope.h"
#include "reuse/selector.h"

namespace spolia {

// What an engine can do with blocks of the loaded model.
enum class ReuseSupport : uint8_t {
    kFused,      // selective recompute in one fused pass; every selector
    kSpans,      // contiguous spans by the backend's own decode; not Selector::needs_fused_pass()
    kExactOnly,  // exact prefixes only
};
std::string_view to_string(ReuseSupport support);

struct ModelInfo {
    std::string name;
    std::string architecture;
    std::string path;
    Key128 fingerprint;  // of the weights, and of everything else that shapes K and V
    bool random_weights = false;
    uint64_t n_params = 0;
    uint64_t bytes = 0;
    int32_t n_vocab = 0;
    int32_t n_ctx_train = 0;
    KvLayout kv;
    RopeSpec rope;
    ReuseSupport support = ReuseSupport::kExactOnly;
    std::string support_reason;  // why not kFused; empty when it is
};

struct EngineLimits {
    int32_t n_sequences = 0;   // sequence ids are 0 .. n_sequences - 1
    int32_t n_ctx = 0;         // rows of each sequence
    int32_t n_batch_rows = 0;  // rows computed at once; prefill reports back between batches
    // A dense prefill leaves the same bits, whatever it keeps, where the length of what it keeps is
    // a multiple of this and it computes at least as many rows. Exact rows are only ever kept for
    // dense compute in whole tiles, so the rows behind the last whole one need not be the same.
    // A power of two that divides kPrefixPageRows.
    int32_t n_tile_rows = 1;
};

// How many of a prompt's n_exact leading rows, all of them exact, a dense prefill may keep and
// still leave the bits that it would leave had it kept nothing.
int32_t rows_kept_exactly(int32_t n_exact, int32_t n_prompt, int32_t n_tile_rows);

// Whether computing rows [n_exact, n_rows) behind exact ones completes a tile.
bool completes_tile(int32_t n_exact, int32_t n_rows, int32_t n_tile_rows);

// Bytes that an engine holds beyond the model's weights.
struct EngineMemory {
    uint64_t kv_cache_bytes = 0;  // the backend's own cache of all sequences
    uint64_t staging_bytes = 0;   // host copy of one sequence's rows on their way to the cache
    uint64_t compute_bytes = 0;   // buffers of our own passes: activations, hidden states
};

// Rows of a block placed in a prompt.
struct PlacedBlock {
    int32_t row = 0;         // position of the first placed row in the prompt
    int32_t source_row = 0;  // first row used of the block
    int32_t n_rows = 0;
    const KvBlock* block = nullptr;  // pinned by the caller for the whole call
    // The rows are those that dense compute leaves here, bit by bit: pages of a prefix chain behind
    // exact rows. They are never recomputed.
    bool exact = false;
    bool settled = false;                 // see PassiveSpan
    const KnownContext* known = nullptr;  // the same
};

struct PrefillPlan {
    int32_t sequence = 0;
    std::span<const Token> tokens;  // the whole prompt, one row each; not empty
    // The sequence's first n_keep rows are already those of this prompt, and exact. Fewer than
    // tokens.size().
    int32_t n_keep = 0;
    // Ascending, disjoint, all at or behind n_keep. Exact ones come first and touch n_keep and each
    // other. The last row of the prompt is computed even where a block covers it. Rows in front of
    // the first one that is not exact are dense where they complete a tile.
    std::span<const PlacedBlock> blocks;
    // Picks the rows to mend; null when no block needs it.
    const Selector* selector = nullptr;
    const PromptOutline* outline = nullptr;  // for the selector; see Selection
};

struct PrefillReport {
    int32_t n_exact = 0;     // kept, or from exact pages
    int32_t n_shifted = 0;   // from blocks, as they were but rotated
    int32_t n_blended = 0;   // under blocks, recomputed because the selector asked
    int32_t n_computed = 0;  // in no block
    int32_t n_probed = 0;    // of those, computed once more for the query's attention
    // What mending took: passive rows computed, and rows probed, summed over the layers.
    int64_t mend_row_layers = 0;
    int64_t place_us = 0;               // rotation, placement and handover of blocks
    int64_t check_us = 0;               // attention; layers and deviations up to the last stage
    int64_t compute_us = 0;             // the rest of the pass, and what ticks took
    std::vector<int32_t> blended_rows;  // ascending
};

// Called between batches of a prefill or of a chunk that is encoded, on the engine thread. Other
// sequences may be decoded in it. Returning false ends the call with kCancelled; a sequence that
// was prefilled is empty then. May be empty.
using PrefillTick = std::function<bool()>;

struct DecodeItem {
    int32_t sequence = 0;
    Token token = 0;
};

// Rows [begin, begin + tokens.size()) of a sequence, and what they are to be called.
struct Capture {
    int32_t sequence = 0;
    int32_t begin = 0;
    Key128 key;
    Key128 left_context;
    // kExact: a page of a prefix chain, which keeps its position (frame_row = begin). Others, rows
    // of a chunk, go into the canonical frame.
    Provenance provenance = Provenance::kExact;
    std::span<const Token> tokens;
};

// A loaded model with a KV cache of several sequences. Everything but info(), limits(), memory()
// and sink_prefix() is called by one thread, the engine thread, only.
class Engine {
public:
    virtual ~Engine() = default;

    virtual const ModelInfo& info() const = 0;
    virtual const EngineLimits& limits() const = 0;
    virtual EngineMemory memory() const = 0;

    // Makes plan.sequence hold exactly the prompt's rows and leaves the logits of its last row in
    // logits(). On failure the sequence is empty.
    virtual Result<PrefillReport> prefill(const PrefillPlan& plan, const PrefillTick& tick) = 0;

    // Appends one row to each sequence named (at most once each); logits() are those behind it.
    virtual Status decode(std::span<const DecodeItem> items) = 0;

    // Next-token logits of a sequence, n_vocab floats; valid until its next prefill or decode.
    virtual std::span<const float> logits(int32_t sequence) const = 0;

    // Forgets all rows from `n_rows` on.
    virtual void truncate(int32_t sequence, int32_t n_rows) = 0;

    // Encodes a chunk alone behind the sink prefix: canonical frame, provenance kIsolated.
    // Fails with kUnsupported where support is kExactOnly. `key` goes into the block as it is.
    virtual Result<std::unique_ptr<KvBlock>> encode_isolated(const Key128& key,
                                                             std::span<const Token> tokens,
                                                             const PrefillTick& tick) = 0;

    // Copies rows that a sequence holds into a block. kUnsupported where support is kExactOnly.
    virtual Result<std::unique_ptr<KvBlock>> capture(const Capture& rows) = 0;

    // Copies rows of a layer from row `begin` on as a sequence holds them, K at their positions; as
    // many as `k` and `v` have room for. kUnsupported where support is kExactOnly.
    virtual Status read_rows(int32_t sequence, int32_t layer, int32_t begin, std::span<uint16_t> k,
                             std::span<uint16_t> v) const = 0;

    // Tokens of the sink prefix that isolated blocks are encoded behind.
    virtual std::span<const Token> sink_prefix() const = 0;
};

}  // namespace spolia
