#include "adapters/llama/llama_engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "adapters/llama/available_memory.h"
#include "adapters/llama/elapsed.h"
#include "adapters/llama/fused_prefill.h"
#include "adapters/llama/isolated_encoder.h"
#include "adapters/llama/kv_tensors.h"
#include "adapters/llama/prefill_rows.h"
#include "adapters/llama/sequence_cache.h"
#include "adapters/llama/span_prefill.h"
#include "llama.h"

namespace spolia {
namespace {

constexpr int32_t kProbeTokens = 24;
// Changes whenever the meaning of stored rows changes, so that old blocks are not found any more.
constexpr std::string_view kBlockRecipe = "spolia llama f16 canonical sink 1";

struct ContextFree {
    void operator()(llama_context* context) const { llama_free(context); }
};

// Some ordinary tokens of the vocabulary, for probes.
std::vector<Token> probe_tokens(const llama_vocab* vocab, int32_t n) {
    std::vector<Token> tokens;
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    for (int32_t i = 0; static_cast<int32_t>(tokens.size()) < n; ++i) {
        const Token token = static_cast<Token>((int64_t{i} * 7919 + n_vocab / 3) % n_vocab);
        if (!llama_vocab_is_control(vocab, token) || i > 64 * n) tokens.push_back(token);
    }
    return tokens;
}

// What isolated blocks are encoded behind: the token that a prompt starts with.
std::vector<Token> find_sink(const llama_vocab* vocab) {
    for (const Token token : {llama_vocab_bos(vocab), llama_vocab_eot(vocab),
                              llama_vocab_eos(vocab), llama_vocab_nl(vocab)}) {
        if (token != LLAMA_TOKEN_NULL) return {token};
    }
    return {0};
}

int32_t head_dim_of(const LlamaModel& model) {
    const int32_t n_head = std::max(1, llama_model_n_head(model.get()));
    return static_cast<int32_t>(model.arch_number("attention.key_length")
                                    .value_or(llama_model_n_embd(model.get()) / n_head));
}

KvLayout kv_layout_of(const LlamaModel& model) {
    const int32_t n_head_kv = llama_model_n_head_kv(model.get());
    const int32_t k_head = head_dim_of(model);
    const int32_t v_head =
        static_cast<int32_t>(model.arch_number("attention.value_length").value_or(k_head));
    return {llama_model_n_layer(model.get()), n_head_kv * k_head, n_head_kv * v_head};
}

// Pages of exact rows are only those of engines that round alike: tile_rows is one reason not to.
Key128 block_fingerprint(const LlamaModel& model, std::span<const Token> sink, int32_t tile_rows) {
    std::string text = model.file_fingerprint().hex();
    text += kBlockRecipe;
    text += " tile " + std::to_string(tile_rows);
    for (const Token token : sink) text += ' ' + std::to_string(token);
    return hash_text(text);
}

ModelInfo describe(const LlamaModel& model) {
    ModelInfo info;
    info.name = std::filesystem::path(model.path()).stem().string();
    info.architecture = model.architecture();
    info.path = model.path();
    info.random_weights = model.meta("spolia.random_weights").value_or("") == "true";
    info.n_params = llama_model_n_params(model.get());
    info.bytes = llama_model_size(model.get());
    info.n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model.get()));
    info.n_ctx_train = llama_model_n_ctx_train(model.get());
    info.kv = kv_layout_of(model);
    return info;
}

// Models whose cache is more than one row a token.
std::string reason_against_rows(const LlamaModel& model) {
    if (llama_model_is_recurrent(model.get())) return "recurrent state";
    if (llama_model_is_hybrid(model.get())) return "recurrent layers";
    if (llama_model_n_swa(model.get()) > 0) return "sliding-window attention";
    return {};
}

}  // namespace

class LlamaEngine::Impl {
public:
    Impl(const LlamaModel& model, const LlamaEngineOptions& options)
        : model_(model), options_(options), info_(describe(model)) {}

    Status open();

    Result<PrefillReport> prefill(const PrefillPlan& plan, const PrefillTick& tick);
    Result<std::unique_ptr<KvBlock>> encode(const Key128& key, std::span<const Token> tokens,
                                            const PrefillTick& tick);
    Result<std::unique_ptr<KvBlock>> capture(const Capture& rows) const;
    Status read_rows(int32_t sequence, int32_t layer, int32_t begin, std::span<uint16_t> k,
                     std::span<uint16_t> v) const;
    BlockMeta block_meta(const Key128& key, std::span<const Token> tokens) const;
    EngineMemory memory() const { return {kv_cache_bytes_, staging_bytes_, compute_bytes_}; }

    const LlamaModel& model_;
    LlamaEngineOptions options_;
    ModelInfo info_;
    EngineLimits limits_;
    GateReport gate_;
    std::vector<Token> sink_;
    KvTensors tensors_;
    std::unique_ptr<llama_context, ContextFree> context_;
    std::unique_ptr<SequenceCache> cache_;

private:
    // Publishes what memory() tells: called by the engine thread when buffers may have grown.
    void note_memory();
    // The best support that nothing in the file speaks against, and why it is not better. The gate
    // has the last word.
    void choose_support();
    Status check_memory(int32_t n_streams) const;
    Status open_context();
    Status open_fused();
    Status prove();
    Status fill(PrefillPlan plan, const PrefillTick& tick, PrefillReport& report);
    Status check_tokens(std::span<const Token> tokens) const;
    Status compose(PrefillPlan plan, PrefillRows rows, const PrefillTick& tick,
                   PrefillReport& report);
    Result<PrefillReport> fill_head(PrefillPlan& plan, PrefillRows& rows, const PrefillTick& tick);

    // Sequence for encoding chunks with llama_decode, behind those of the limits.
    int32_t scratch_sequence() const { return limits_.n_sequences; }

    DecoderWeights weights_;
    LlamaRope rope_;
    std::unique_ptr<BlendGraph> graph_;
    std::unique_ptr<IsolatedEncoder> encoder_;
    std::atomic<uint64_t> kv_cache_bytes_{0}, staging_bytes_{0}, compute_bytes_{0};
};

Status LlamaEngine::Impl::open() {
    if (llama_model_has_encoder(model_.get())) {
        return Error{ErrorCode::kUnsupported,
                     "models with an encoder can't be served: they don't continue a text"};
    }
    const llama_vocab* vocab = llama_model_get_vocab(model_.get());
    sink_ = find_sink(vocab);
    if (options_.n_threads <= 0) {
        options_.n_threads = std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
    }

    choose_support();
    if (Status status = open_context(); !status) return status;
    info_.fingerprint = block_fingerprint(model_, sink_, limits_.n_tile_rows);
    if (info_.support == ReuseSupport::kExactOnly) return {};
    if (Status status = prove(); !status) {
        if (status.error().code == ErrorCode::kOutOfMemory) return status;
        info_.support = ReuseSupport::kExactOnly;
        info_.support_reason = status.error().message;
        graph_.reset();
        encoder_.reset();
        for (int32_t s = 0; s < limits_.n_sequences; ++s) cache_->truncate(s, 0);
    }
    note_memory();
    return {};
}

void LlamaEngine::Impl::choose_support() {
    info_.support = ReuseSupport::kExactOnly;
    info_.support_reason = reason_against_rows(model_);
    if (!info_.support_reason.empty()) return;

    Result<LlamaRope> rope = read_rope(model_, head_dim_of(model_));
    if (!rope) {
        info_.support_reason = rope.error().message;
        return;
    }
    rope_ = std::move(rope).value();
    info_.rope = rope_.spec;

    Result<DecoderWeights> weights = bind_weights(model_);
    if (!weights) {
        info_.support = ReuseSupport::kSpans;
        info_.support_reason = weights.error().message;
        return;
    }
    weights_ = std::move(weights).value();
    info_.support = ReuseSupport::kFused;
}

Status LlamaEngine::Impl::check_memory(int32_t n_streams) const {
    const uint64_t n_rows =
        static_cast<uint64_t>(options_.n_ctx) * static_cast<uint64_t>(n_streams);
    // Of other models the row's size in the cache is not known: kv_layout_of() gives an upper
    // bound.
    if (info_.support == ReuseSupport::kExactOnly && n_rows <= UINT32_MAX) return {};
    const uint64_t kv_mib = n_rows * (info_.kv.row_bytes() >> 10) >> 10;
    const auto available = available_memory();
    if (n_rows <= UINT32_MAX && (!available || kv_mib <= *available >> 20)) return {};
    return Error{
        ErrorCode::kOutOfMemory,
        "a KV cache of " + std::to_string(n_streams) + " sequences of " +
            std::to_string(options_.n_ctx) + " rows needs " + std::to_string(kv_mib) + " MiB" +
            (available ? ", but only " + std::to_string(*available >> 20) + " MiB are free" : "")};
}

Status LlamaEngine::Impl::open_context() {
    // Chunks of models without a fused pass are encoded in a sequence of their own.
    const int32_t n_streams =
        options_.n_sequences + (info_.support == ReuseSupport::kSpans ? 1 : 0);
    if (Status status = check_memory(n_streams); !status) return status;
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(options_.n_ctx) * static_cast<uint32_t>(n_streams);
    params.n_seq_max = static_cast<uint32_t>(n_streams);
    // A decode has up to one row of each sequence.
    params.n_batch = static_cast<uint32_t>(std::max(options_.n_batch_rows, n_streams));
    params.n_ubatch = static_cast<uint32_t>(options_.n_batch_rows);
    params.n_threads = options_.n_threads;
    params.n_threads_batch = options_.n_threads;
    // Keeps V rows untransposed, which only matters where rows are moved.
    params.flash_attn_type = info_.support == ReuseSupport::kExactOnly
                                 ? LLAMA_FLASH_ATTN_TYPE_AUTO
                                 : LLAMA_FLASH_ATTN_TYPE_ENABLED;
    // One stream a sequence: row r of a sequence stands in its cell r.
    params.kv_unified = false;
    params.no_perf = true;
    params.cb_eval = KvTensors::on_eval;
    params.cb_eval_user_data = &tensors_;

    take_llama_error();
    context_.reset(llama_init_from_model(model_.get(), params));
    if (!context_) {
        return Error{ErrorCode::kOutOfMemory,
                     "llama.cpp can't make a context of " + std::to_string(n_streams) + " x " +
                         std::to_string(options_.n_ctx) + " rows: " + take_llama_error()};
    }
    if (llama_get_memory(context_.get()) == nullptr) {
        return Error{ErrorCode::kUnsupported,
                     "the model has no KV cache: it doesn't continue a text"};
    }
    const int32_t n_cells = static_cast<int32_t>(llama_n_ctx_seq(context_.get()));
    kv_cache_bytes_ = uint64_t{llama_n_ctx(context_.get())} * info_.kv.row_bytes();
    cache_ = std::make_unique<SequenceCache>(context_.get(), info_.kv, n_streams, n_cells,
                                             info_.n_vocab);
    limits_ = {options_.n_sequences, n_cells, options_.n_batch_rows, cache_->n_tile_rows()};
    return {};
}

Status LlamaEngine::Impl::open_fused() {
    BlendGraphOptions options;
    options.n_threads = options_.n_threads;
    options.n_batch_rows = options_.n_batch_rows;
    options.n_rows_max = limits_.n_ctx;
    options.attention = options_.attention;
    Result<std::unique_ptr<BlendGraph>> graph = BlendGraph::create(weights_, rope_, options);
    if (!graph) return graph.error();
    graph_ = std::move(graph).value();
    encoder_ = std::make_unique<IsolatedEncoder>(*graph_, weights_, info_.kv, sink_);
    return {};
}

Status LlamaEngine::Impl::prove() {
    const std::vector<Token> tokens = probe_tokens(llama_model_get_vocab(model_.get()),
                                                   std::min(kProbeTokens, limits_.n_ctx / 4));
    if (Status status = cache_->probe(&tensors_, tokens); !status) return status;
    if (info_.support == ReuseSupport::kFused) {
        if (Status status = open_fused(); !status) return status;
    }
    return run_load_gate(*cache_, rope_.spec, tokens, sink_, graph_.get(), encoder_.get(),
                         products_round(model_), gate_);
}

Result<PrefillReport> LlamaEngine::Impl::prefill(const PrefillPlan& plan, const PrefillTick& tick) {
    if (plan.sequence < 0 || plan.sequence >= limits_.n_sequences) {
        return Error{ErrorCode::kInvalidArgument,
                     "there is no sequence " + std::to_string(plan.sequence)};
    }
    PrefillReport report;
    if (Status status = fill(plan, tick, report); !status) {
        cache_->truncate(plan.sequence, 0);
        return status.error();
    }
    note_memory();
    return report;
}

Status LlamaEngine::Impl::fill(PrefillPlan plan, const PrefillTick& tick, PrefillReport& report) {
    if (Status status = check_tokens(plan.tokens); !status) return status;
    if (plan.n_keep > cache_->n_rows(plan.sequence)) {
        return Error{ErrorCode::kInvalidArgument,
                     "prefill plan: keeps " + std::to_string(plan.n_keep) + " rows of " +
                         std::to_string(cache_->n_rows(plan.sequence))};
    }
    if (info_.support == ReuseSupport::kExactOnly && !plan.blocks.empty()) {
        return Error{ErrorCode::kUnsupported, "no blocks for this model: " + info_.support_reason};
    }
    cache_->truncate(plan.sequence, std::max(0, plan.n_keep));
    // A recurrent state can't forget its last rows: it is computed anew then.
    if (cache_->n_rows(plan.sequence) < plan.n_keep) plan.n_keep = 0;
    Result<PrefillRows> rows = prefill_rows(plan, limits_.n_ctx, info_.kv);
    if (!rows) return rows.error();
    if (rows->composed() && graph_) {
        return compose(std::move(plan), std::move(rows).value(), tick, report);
    }
    return span_prefill(*cache_, plan, *rows, rope_.spec, tick, report);
}

Status LlamaEngine::Impl::check_tokens(std::span<const Token> tokens) const {
    const auto unknown = [&](Token token) { return token < 0 || token >= info_.n_vocab; };
    const auto found = std::ranges::find_if(tokens, unknown);
    if (found == tokens.end()) return {};
    return Error{ErrorCode::kInvalidArgument, "token " + std::to_string(*found) +
                                                  " is not in the model's vocabulary of " +
                                                  std::to_string(info_.n_vocab)};
}

Status LlamaEngine::Impl::compose(PrefillPlan plan, PrefillRows rows, const PrefillTick& tick,
                                  PrefillReport& report) {
    const Result<PrefillReport> head = fill_head(plan, rows, tick);
    if (!head) return head.error();
    const auto start = std::chrono::steady_clock::now();
    if (Status status =
            cache_->place(plan.sequence, rows.n_rows, plan.n_keep, plan.blocks, rope_.spec);
        !status) {
        return status;
    }
    report.place_us = us_since(start);
    const std::vector<KvSlab> slabs = cache_->slabs(plan.sequence);
    if (Status status =
            fused_prefill(*graph_, slabs, plan, rows, tick, cache_->logits(plan.sequence), report);
        !status) {
        return status;
    }
    report.n_exact -= head->n_computed;
    report.n_computed += head->n_computed;
    report.place_us += head->place_us;
    report.compute_us += head->compute_us;
    return {};
}

// Computes the rows in front of composed blocks as if there were none, where they complete a tile:
// they are exact for prompts to come. Leaves a plan that keeps them, and its rows.
Result<PrefillReport> LlamaEngine::Impl::fill_head(PrefillPlan& plan, PrefillRows& rows,
                                                   const PrefillTick& tick) {
    const auto composed = std::ranges::find(plan.blocks, false, &PlacedBlock::exact);
    const int32_t n_head = composed->row;
    PrefillReport report;
    if (!completes_tile(rows.n_fixed, n_head, limits_.n_tile_rows)) return report;

    PrefillPlan head = plan;
    head.tokens = plan.tokens.first(static_cast<size_t>(n_head));
    head.blocks =
        plan.blocks.first(static_cast<size_t>(std::distance(plan.blocks.begin(), composed)));
    head.selector = nullptr;
    const Result<PrefillRows> head_rows = prefill_rows(head, limits_.n_ctx, info_.kv);
    if (!head_rows) return head_rows.error();
    if (Status status = span_prefill(*cache_, head, *head_rows, rope_.spec, tick, report);
        !status) {
        return status.error();
    }
    plan.n_keep = n_head;
    plan.blocks = plan.blocks.subspan(head.blocks.size());
    Result<PrefillRows> rows_left = prefill_rows(plan, limits_.n_ctx, info_.kv);
    if (!rows_left) return rows_left.error();
    rows = std::move(rows_left).value();
    return report;
}

BlockMeta LlamaEngine::Impl::block_meta(const Key128& key, std::span<const Token> tokens) const {
    BlockMeta meta;
    meta.key = key;
    meta.model = info_.fingerprint;
    meta.layout = info_.kv;
    meta.tokens.assign(tokens.begin(), tokens.end());
    return meta;
}

Result<std::unique_ptr<KvBlock>> LlamaEngine::Impl::encode(const Key128& key,
                                                           std::span<const Token> tokens,
                                                           const PrefillTick& tick) {
    if (info_.support == ReuseSupport::kExactOnly) {
        return Error{ErrorCode::kUnsupported, "no blocks for this model: " + info_.support_reason};
    }
    const size_t n_rows = sink_.size() + tokens.size();
    if (tokens.empty() || n_rows > static_cast<size_t>(limits_.n_ctx)) {
        return Error{ErrorCode::kInvalidArgument,
                     "a chunk of " + std::to_string(tokens.size()) +
                         " tokens can't be encoded; it may have from 1 to " +
                         std::to_string(limits_.n_ctx - static_cast<int32_t>(sink_.size()))};
    }
    if (Status status = check_tokens(tokens); !status) return status.error();
    BlockMeta meta = block_meta(key, tokens);
    meta.provenance = Provenance::kIsolated;
    if (encoder_) {
        auto block = encoder_->encode(std::move(meta), rope_.spec, tick);
        note_memory();
        return block;
    }
    return span_encode(*cache_, scratch_sequence(), sink_, std::move(meta), rope_.spec, tick);
}

Result<std::unique_ptr<KvBlock>> LlamaEngine::Impl::capture(const Capture& rows) const {
    if (info_.support == ReuseSupport::kExactOnly) {
        return Error{ErrorCode::kUnsupported, "no blocks for this model: " + info_.support_reason};
    }
    const int32_t end = rows.begin + static_cast<int32_t>(rows.tokens.size());
    if (rows.tokens.empty() || rows.begin < 0 || rows.sequence < 0 ||
        rows.sequence >= limits_.n_sequences || end > cache_->n_rows(rows.sequence)) {
        return Error{ErrorCode::kInvalidArgument, "the sequence does not hold the rows to capture"};
    }
    BlockMeta meta = block_meta(rows.key, rows.tokens);
    meta.provenance = rows.provenance;
    meta.left_context = rows.left_context;
    const bool page = rows.provenance == Provenance::kExact;
    if (page) meta.frame_row = rows.begin;
    std::unique_ptr<KvBlock> block = copy_rows(*cache_, rows.sequence, rows.begin, std::move(meta));
    if (!page) shift_block(*block, rope_.spec, -rows.begin);
    return block;
}

Status LlamaEngine::Impl::read_rows(int32_t sequence, int32_t layer, int32_t begin,
                                    std::span<uint16_t> k, std::span<uint16_t> v) const {
    if (info_.support == ReuseSupport::kExactOnly) {
        return Error{ErrorCode::kUnsupported, "no rows of this model: " + info_.support_reason};
    }
    const size_t n_rows = k.size() / static_cast<size_t>(info_.kv.k_dim);
    if (sequence < 0 || sequence >= limits_.n_sequences || layer < 0 || layer >= info_.kv.n_layer ||
        begin < 0 ||
        static_cast<size_t>(begin) + n_rows > static_cast<size_t>(cache_->n_rows(sequence)) ||
        v.size() != n_rows * static_cast<size_t>(info_.kv.v_dim)) {
        return Error{ErrorCode::kInvalidArgument, "the sequence does not hold the rows to read"};
    }
    cache_->tensors().read(layer, sequence, begin, k, v);
    return {};
}

void LlamaEngine::Impl::note_memory() {
    staging_bytes_ = cache_->staging().capacity_bytes();
    compute_bytes_ =
        (graph_ ? graph_->memory_bytes() : 0) + (encoder_ ? encoder_->memory_bytes() : 0);
}

LlamaEngine::LlamaEngine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LlamaEngine::~LlamaEngine() = default;

Result<std::unique_ptr<LlamaEngine>> LlamaEngine::create(const LlamaModel& model,
                                                         const LlamaEngineOptions& options) {
    if (options.n_ctx < 64 || options.n_sequences < 1 ||
        options.n_batch_rows < DenseBatches::kRowsMin) {
        return Error{ErrorCode::kInvalidArgument,
                     "a context needs at least 64 rows, one sequence and batches of " +
                         std::to_string(DenseBatches::kRowsMin) + " rows"};
    }
    auto impl = std::make_unique<Impl>(model, options);
    // On a thread that ends: OpenMP keeps a team of workers for every thread that has computed, and
    // lets them sleep at each barrier, which costs a tenth of decoding, once all teams together
    // have more threads than there are cores. The engine thread is to have the only team.
    Status status;
    std::thread([&] { status = impl->open(); }).join();
    if (!status) return status.error();
    return std::unique_ptr<LlamaEngine>(new LlamaEngine(std::move(impl)));
}

const ModelInfo& LlamaEngine::info() const { return impl_->info_; }
const EngineLimits& LlamaEngine::limits() const { return impl_->limits_; }
const GateReport& LlamaEngine::gate() const { return impl_->gate_; }
EngineMemory LlamaEngine::memory() const { return impl_->memory(); }
std::span<const Token> LlamaEngine::sink_prefix() const { return impl_->sink_; }

Result<PrefillReport> LlamaEngine::prefill(const PrefillPlan& plan, const PrefillTick& tick) {
    return impl_->prefill(plan, tick);
}

Status LlamaEngine::decode(std::span<const DecodeItem> items) {
    return impl_->cache_->decode(items);
}

std::span<const float> LlamaEngine::logits(int32_t sequence) const {
    return std::as_const(*impl_->cache_).logits(sequence);
}

void LlamaEngine::truncate(int32_t sequence, int32_t n_rows) {
    impl_->cache_->truncate(sequence, n_rows);
}

Result<std::unique_ptr<KvBlock>> LlamaEngine::encode_isolated(const Key128& key,
                                                              std::span<const Token> tokens,
                                                              const PrefillTick& tick) {
    return impl_->encode(key, tokens, tick);
}

Result<std::unique_ptr<KvBlock>> LlamaEngine::capture(const Capture& rows) {
    return impl_->capture(rows);
}

Status LlamaEngine::read_rows(int32_t sequence, int32_t layer, int32_t begin, std::span<uint16_t> k,
                              std::span<uint16_t> v) const {
    return impl_->read_rows(sequence, layer, begin, k, v);
}

}  // namespace spolia
