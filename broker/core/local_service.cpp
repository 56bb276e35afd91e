#include "broker/core/local_service.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/tokenize_part.h"
#include "broker/core/anchor_keeper.h"
#include "broker/core/background_work.h"
#include "broker/core/chunk_registry.h"
#include "broker/core/core_state.h"
#include "broker/core/donor_keeper.h"
#include "broker/core/generation.h"
#include "broker/core/guard_file.h"
#include "broker/core/guarded_plan.h"
#include "broker/core/metrics.h"
#include "broker/core/plan_report.h"
#include "broker/core/planner.h"
#include "broker/core/prompt_filler.h"
#include "broker/core/scheduler.h"
#include "broker/log.h"
#include "index/prefix_chain.h"
#include "index/span_map.h"
#include "index/whole_file.h"
#include "reuse/block_store.h"

namespace spolia {
namespace {

// Beside the model's folder of blocks.
ChunkRegistryOptions registry_options(const ServiceOptions& options, const ModelInfo& model) {
    ChunkRegistryOptions registry;
    if (!options.store.directory.empty()) {
        registry.file = options.store.directory / (model.fingerprint.hex() + ".chunks");
    }
    return registry;
}

std::filesystem::path donors_file(const ServiceOptions& options, const ModelInfo& model) {
    if (options.store.directory.empty()) return {};
    return options.store.directory / (model.fingerprint.hex() + ".donors");
}

class LocalService final : public Service {
public:
    LocalService(std::unique_ptr<Engine> engine, std::unique_ptr<const TextModel> text,
                 std::unique_ptr<BlockStore> store, ServiceOptions options)
        : options_(std::move(options)),
          engine_(std::move(engine)),
          text_(std::move(text)),
          store_(std::move(store)),
          registry_(registry_options(options_, engine_->info()), engine_->info().fingerprint),
          state_(engine_->limits().n_sequences, CostModel(options_.calibration),
                 options_.encode_queue_max, options_.reuse.budget),
          guard_warning_(restore_guard()),
          anchors_(*engine_, *text_, *store_, state_, options_),
          donors_(*text_, engine_->info().fingerprint, *store_, options_.donors,
                  donors_file(options_, engine_->info())),
          scheduler_(*engine_, *text_, *store_, registry_, state_, anchors_, donors_, metrics_,
                     options_) {
        if (!registry_.open_warning().empty()) {
            log_event(LogLevel::kWarning, registry_.open_warning());
        }
        if (!guard_warning_.empty()) log_event(LogLevel::kWarning, guard_warning_);
        if (!anchors_.open_warning().empty()) {
            log_event(LogLevel::kWarning, anchors_.open_warning());
        }
    }

    const ModelInfo& model() const override { return engine_->info(); }
    const TextModel& text() const override { return *text_; }
    bool ready() const override { return scheduler_.running(); }

    Result<GenerationId> submit(GenerateRequest request,
                                std::shared_ptr<GenerateSink> sink) override {
        Result<PreparedPrompt> prompt = prepare(request);
        if (!prompt) return std::move(prompt).error();
        Result<std::unique_ptr<Sampler>> sampler =
            text_->make_sampler(request.sampling, request.grammar);
        if (!sampler) return std::move(sampler).error();
        auto generation = std::make_unique<Generation>(
            std::move(prompt).value(), std::move(sampler).value(), std::move(request.stops));
        generation->request_id = std::move(request.id);
        generation->sink = std::move(sink);
        generation->tokens_max = request.handover ? 0 : request.tokens_max;
        generation->ignore_end = request.sampling.ignore_eos;
        generation->handover = request.handover;
        Result<GenerationId> id = scheduler_.submit(std::move(generation));
        if (id) ++n_requests_;
        return id;
    }

    void cancel(GenerationId id) override { scheduler_.cancel(id); }

    void put_chunk(std::string tenant, std::string name, std::string text,
                   std::function<void(Result<std::vector<ChunkInfo>>)> done) override {
        queue(text, {.tenant = std::move(tenant),
                     .name = std::move(name),
                     .chunks = {},
                     .done = std::move(done)});
    }

    void encode_text(std::string tenant, std::string text,
                     std::function<void(Result<std::vector<ChunkInfo>>)> done) override {
        queue(text, {.tenant = std::move(tenant),
                     .name = std::nullopt,
                     .chunks = {},
                     .done = std::move(done)});
    }

    Result<ChunkInfo> get_chunk(const std::string& tenant, const Key128& key) const override {
        const std::optional<RegisteredChunk> chunk = registry_.get(tenant, key);
        if (!chunk) {
            return Error{ErrorCode::kNotFound, "no chunk " + key.hex() + " is registered"};
        }
        return chunk_info(*chunk, *store_, model().kv);
    }

    std::vector<ChunkInfo> list_chunks(const std::string& tenant) const override {
        std::vector<ChunkInfo> infos;
        for (const RegisteredChunk& chunk : registry_.list(tenant)) {
            infos.push_back(chunk_info(chunk, *store_, model().kv));
        }
        return infos;
    }

    bool delete_chunk(const std::string& tenant, const Key128& key) override {
        if (!registry_.erase(tenant, key)) return false;
        store_->erase(key);
        donors_.block_changed(scope_key({model().fingerprint, tenant}), key);
        if (const Status saved = registry_.save(); !saved) {
            log_event(LogLevel::kWarning, saved.error().message);
        }
        return true;
    }

    bool is_warm(const std::string& tenant, const std::string& text) const override {
        PutJob job{.tenant = tenant, .name = {}, .chunks = {}, .done = {}};
        return cut_chunks_of(text, job).ok() &&
               std::ranges::all_of(job.chunks, [this](const EncodeQueue::Chunk& chunk) {
                   return store_->where(chunk.key, chunk.tokens).has_value();
               });
    }

    Result<Receipt> receipt(const std::string& tenant, const std::string& id) const override {
        MutexLock lock(state_.mutex);
        if (std::optional<Receipt> found = state_.receipts.find(tenant, id)) {
            return *std::move(found);
        }
        return Error{ErrorCode::kNotFound, "there is no receipt of a request " + id +
                                               "; only those of the last requests are kept"};
    }

    Result<PlanPreview> plan(const GenerateRequest& request) const override {
        const Result<PreparedPrompt> prompt = prepare(request);
        if (!prompt) return prompt.error();
        std::optional<SequenceTable::Match> match;
        CostModel costs;
        {
            MutexLock lock(state_.mutex);
            match = state_.sequences.choose(prompt->tokens, prompt->tenant);
            costs = state_.costs;
        }
        const int32_t n_held = match ? match->n_exact : 0;
        const std::shared_ptr<const AnchorSnapshot> anchors = anchors_.snapshot();
        const ServingPlan serving =
            plan_serving(plan_input(*prompt, n_held, *engine_, *anchors, options_), *prompt,
                         residence_in(*store_, state_), costs, state_);
        const PromptPlan& chosen = serving.plan;
        PlanPreview preview;
        preview.parts = preview_parts(chosen, prompt->segments);
        preview.policy = start_receipt(serving, prompt->policy).policy;
        preview.dense_ms = chosen.dense_ms;
        preview.chosen_ms = chosen.chosen_ms;
        return preview;
    }

    void keep_rows(const std::string& tenant, std::span<const Token> tokens,
                   const RowSource& rows) override {
        if (!options_.capture_pages || model().support == ReuseSupport::kExactOnly) return;
        const std::vector<Key128> keys =
            prefix_chain(page_scope(model().fingerprint, tenant, options_), tokens);
        Key128 previous;
        for (size_t page = 0; page < keys.size(); ++page) {
            const auto held = tokens.subspan(page * kPrefixPageRows, kPrefixPageRows);
            if (!store_->where(keys[page], held) &&
                !keep_page(keys[page], previous, static_cast<int32_t>(page * kPrefixPageRows), held,
                           rows)) {
                return;
            }
            previous = keys[page];
        }
    }

    ServiceStats stats() const override {
        ServiceStats stats;
        stats.blocks = store_->stats();
        stats.limits = engine_->limits();
        stats.memory = engine_->memory();
        stats.anchors = anchors_.stats();
        stats.donors = donors_.stats();
        stats.queue_depth = static_cast<int32_t>(scheduler_.queue_depth());
        stats.shadow_queue_depth = static_cast<int32_t>(scheduler_.n_shadows());
        stats.requests = n_requests_;
        const size_t n_puts = scheduler_.n_puts();
        MutexLock lock(state_.mutex);
        stats.sequences_busy = state_.sequences.n_busy();
        stats.encode_queue_depth = static_cast<int32_t>(n_puts + state_.encode_queue.size());
        stats.guard = state_.guard.states();
        return stats;
    }

    std::string metrics_text() const override { return metrics_.text(stats()); }

private:
    // What the last process knew, behind the rungs that the configuration names: those always have
    // room. Returns what became of a file that could not be used.
    std::string restore_guard() {
        MutexLock lock(state_.mutex);
        for (const std::string& label : configured_rungs(options_.reuse, model())) {
            state_.guard.expect(label);
        }
        const std::filesystem::path path =
            guard_file(options_.store.directory, model().fingerprint);
        const Result<std::vector<RungRecord>> records =
            known_rungs(options_.store.directory, model().fingerprint, options_.reuse.budget);
        if (records.ok()) {
            state_.guard.restore(*records);
            return {};
        }
        return records.error().message + "; set aside as " + set_file_aside(path).string() +
               ", calibration starts anew";
    }

    Result<PreparedPrompt> prepare(const GenerateRequest& request) const {
        if (Status valid = check_prompt(request.prompt.tokens); !valid) return valid.error();
        Result<ReusePolicy> policy = resolve_reuse(request.reuse, options_.reuse, model());
        if (!policy) return std::move(policy).error();
        const KeyScope scope{model().fingerprint, request.tenant};
        PreparedPrompt prompt;
        prompt.tenant = request.tenant;
        prompt.tokens = request.prompt.tokens;
        prompt.segments = registry_.segment(request.prompt, request.spans, scope, options_.chunker);
        prompt.page_keys =
            prefix_chain(page_scope(scope.model, request.tenant, options_), prompt.tokens);
        prompt.outline = outline_prompt(request.prompt, prompt.segments);
        prompt.unmapped =
            !has_usable_offsets(request.prompt) &&
            std::any_of(request.spans.begin(), request.spans.end(),
                        [](const TextSpan& span) { return span.role == SegmentRole::kChunk; });
        prompt.policy = std::move(policy).value();
        if (prompt.policy.anchored) {
            prompt.chunks = chunks_of(prompt.segments, prompt.outline);
        } else {
            find_donors(prompt);
        }
        return prompt;
    }

    // False where there is no room for it.
    bool keep_page(const Key128& key, const Key128& previous, int32_t begin,
                   std::span<const Token> tokens, const RowSource& rows) {
        BlockMeta meta;
        meta.key = key;
        meta.model = model().fingerprint;
        meta.left_context = previous;
        meta.provenance = Provenance::kExact;
        meta.frame_row = begin;
        meta.layout = model().kv;
        meta.tokens.assign(tokens.begin(), tokens.end());
        auto block = std::make_unique<KvBlock>(std::move(meta));
        for (int32_t layer = 0; layer < model().kv.n_layer; ++layer) {
            if (!rows.copy(layer, begin, block->k(layer), block->v(layer))) return false;
        }
        if (!store_->insert(std::move(block))) return false;
        metrics_.page_captured();
        return true;
    }

    // For fast requests: what a guard has learned of prompts without donors says nothing of these.
    void find_donors(PreparedPrompt& prompt) const {
        if (prompt.policy.fidelity != Fidelity::kFast) return;
        if (model().support == ReuseSupport::kExactOnly) return;
        prompt.donors = donors_.find(prompt.tenant, prompt.tokens, prompt.segments,
                                     residence_in(*store_, state_));
    }

    Status check_prompt(const std::vector<Token>& tokens) const {
        if (tokens.empty()) return invalid("the prompt has no tokens");
        const int32_t n_ctx = engine_->limits().n_ctx;
        if (tokens.size() >= static_cast<size_t>(n_ctx)) {
            return Error{ErrorCode::kContextTooLong,
                         "the prompt has " + std::to_string(tokens.size()) +
                             " tokens; the context holds " + std::to_string(n_ctx) +
                             " and needs room for the answer"};
        }
        const auto unknown = std::find_if(tokens.begin(), tokens.end(), [this](Token token) {
            return token < 0 || token >= model().n_vocab;
        });
        if (unknown != tokens.end()) {
            return invalid("token " + std::to_string(*unknown) + " is not in the vocabulary of " +
                           std::to_string(model().n_vocab) + " tokens");
        }
        return {};
    }

    void queue(const std::string& text, PutJob job) {
        Status queued = cut_chunks_of(text, job);
        if (queued && job.chunks.empty()) return job.done(std::vector<ChunkInfo>());
        if (queued) queued = scheduler_.put(job);
        if (!queued) job.done(std::move(queued).error());
    }

    // Cuts the text as a prompt's part with the same text would be cut, whatever stands before it.
    Status cut_chunks_of(const std::string& text, PutJob& job) const {
        if (model().support == ReuseSupport::kExactOnly) {
            return Error{ErrorCode::kUnsupported,
                         "chunks of this model can't be reused: " + model().support_reason};
        }
        const Result<TokenizedPart> part = tokenize_part(*text_, text);
        if (!part) return part.error();
        const TextSpan whole{part->settled.begin, part->settled.end, SegmentRole::kChunk};
        const KeyScope scope{model().fingerprint, job.tenant};
        for (const Segment& segment :
             segment_prompt(part->text, {&whole, 1}, scope, options_.chunker, nullptr)) {
            if (segment.role != SegmentRole::kChunk) continue;
            const auto tokens =
                std::span(part->text.tokens).subspan(segment.span.begin, segment.span.size());
            job.chunks.push_back({scope_key(scope), segment.key, {tokens.begin(), tokens.end()}});
        }
        if (job.chunks.empty() && job.name) {
            const TokenSpan tokens = tokens_inside(part->text, part->settled);
            return invalid("the text has " + std::to_string(tokens.size()) +
                           " tokens; a chunk needs at least " +
                           std::to_string(options_.chunker.tokens_min));
        }
        return {};
    }

    const ServiceOptions options_;
    const std::unique_ptr<Engine> engine_;
    const std::unique_ptr<const TextModel> text_;
    const std::unique_ptr<BlockStore> store_;
    Metrics metrics_;
    mutable ChunkRegistry registry_;
    mutable CoreState state_;
    const std::string guard_warning_;
    AnchorKeeper anchors_;
    mutable DonorKeeper donors_;
    std::atomic<uint64_t> n_requests_ = 0;
    Scheduler scheduler_;  // last, so that its thread ends first
};

}  // namespace

Result<std::unique_ptr<Service>> open_service(std::unique_ptr<Engine> engine,
                                              std::unique_ptr<const TextModel> text,
                                              ServiceOptions options) {
    const ModelInfo& model = engine->info();
    if (Status served = check_defaults(options.reuse, model); !served) return served.error();
    Result<std::unique_ptr<BlockStore>> store =
        BlockStore::open(options.store, model.fingerprint, model.kv);
    if (!store) return std::move(store).error();
    return std::unique_ptr<Service>(std::make_unique<LocalService>(
        std::move(engine), std::move(text), std::move(store).value(), std::move(options)));
}

}  // namespace spolia
