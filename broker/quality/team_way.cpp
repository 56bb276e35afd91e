#include "broker/quality/team_way.h"

#include <utility>

#include "broker/quality/greedy_answer.h"

namespace spolia {
namespace {

constexpr uint64_t kBytesMax = uint64_t{4} << 30;

ServiceOptions options_for(const ReuseOptions& reuse, int32_t check_layer) {
    ServiceOptions options;
    options.chunker.tokens_min = kQualityChunkTokensMin;
    options.reuse.check_layer = check_layer;
    options.store.ram_bytes_max = kBytesMax;
    options.anchors.bytes_max = kBytesMax;
    // Anchors need no chunk encoded alone.
    options.encode_seen_chunks =
        reuse.fidelity != Fidelity::kExact && reuse.policy != std::string(kAnchorsPolicy);
    options.capture_pages = false;
    options.reuse_by_cost = false;
    return options;
}

}  // namespace

Result<std::unique_ptr<TeamWay>> TeamWay::open(Engine& engine, const TextModel& text,
                                               int32_t first_sequence, int32_t n_agents,
                                               const TeamSetting& setting, int32_t check_layer) {
    ServiceOptions options = options_for(setting.reuse, check_layer);
    const Result<ReusePolicy> policy = resolve_reuse(setting.reuse, options.reuse, engine.info());
    if (!policy.ok()) return policy.error();
    Result<std::unique_ptr<BlockStore>> store =
        BlockStore::open(options.store, engine.info().fingerprint, engine.info().kv);
    if (!store) return std::move(store).error();
    return std::unique_ptr<TeamWay>(new TeamWay(engine, text, first_sequence, n_agents, setting,
                                                std::move(options), std::move(store).value()));
}

TeamWay::TeamWay(Engine& engine, const TextModel& text, int32_t first_sequence, int32_t n_agents,
                 const TeamSetting& setting, ServiceOptions options,
                 std::unique_ptr<BlockStore> store)
    : engine_(engine, first_sequence, n_agents),
      text_(text),
      setting_(setting),
      options_(std::move(options)),
      store_(std::move(store)),
      state_(n_agents, CostModel(), options_.encode_queue_max, options_.reuse.budget),
      registry_({}, engine.info().fingerprint),
      anchors_(engine_, text, *store_, state_, options_),
      filler_(engine_, *store_, state_, anchors_, options_),
      donors_(text, engine.info().fingerprint, *store_, {.enabled = false}, {}),
      background_(engine_, *store_, registry_, state_, donors_, metrics_, options_) {}

Result<TeamCall> TeamWay::call(const QualityPrompt& prompt, size_t, std::span<const Token> said,
                               int32_t tokens_max) {
    if (setting_.from_nothing) forget_sequences();
    Result<std::unique_ptr<Generation>> prepared = prepare(prompt);
    if (!prepared) return std::move(prepared).error();
    Generation& generation = **prepared;
    if (const auto filled = filler_.fill(generation, [] { return true; }); !filled) {
        return filled.error();
    }
    TeamCall call{.receipt = generation.receipt, .logits = {}, .output = {}};
    const std::span<const float> logits = engine_.logits(generation.sequence);
    call.logits.assign(logits.begin(), logits.end());
    const Clock::time_point kept_from = Clock::now();
    anchors_.keep_prompt(generation);
    call.keep_ms = ms_between(kept_from, Clock::now());
    const Status answered = said.empty() ? answer(generation, prompt.stops, tokens_max, call.output)
                                         : say(generation, said);
    if (!answered) return answered.error();
    anchors_.keep_answer(generation);
    {
        MutexLock lock(state_.mutex);
        state_.sequences.release(generation.sequence);
    }
    work_in_background();
    return call;
}

Result<std::unique_ptr<Generation>> TeamWay::prepare(const QualityPrompt& prompt) const {
    Result<ReusePolicy> policy = resolve_reuse(setting_.reuse, options_.reuse, engine_.info());
    if (!policy) return std::move(policy).error();
    PreparedPrompt prepared;
    prepared.tokens = prompt.tokens;
    prepared.segments = prompt.segments;
    prepared.outline = prompt.outline;
    prepared.chunks = chunks_of(prompt.segments, prompt.outline);
    prepared.policy = std::move(policy).value();
    return std::make_unique<Generation>(std::move(prepared), nullptr, prompt.stops);
}

Status TeamWay::answer(Generation& generation, const std::vector<std::string>& stops,
                       int32_t tokens_max, std::string& output) {
    Result<GreedyAnswer> answer =
        greedy_answer(engine_, text_, generation.sequence, stops, tokens_max);
    if (!answer) return std::move(answer).error();
    output = std::move(answer->output);
    generation.last_token = answer->tokens.back();
    generation.n_generated = static_cast<int32_t>(answer->tokens.size());
    answer->tokens.pop_back();
    MutexLock lock(state_.mutex);
    for (const Token token : answer->tokens) state_.sequences.append(generation.sequence, token);
    return {};
}

// As if the tokens had been sampled; computed in batches, behind the rows that are there. Only
// where answers are kept does that leave anything.
Status TeamWay::say(Generation& generation, std::span<const Token> said) {
    if (!generation.prompt.policy.anchored) return {};
    std::vector<Token> tokens = generation.prompt.tokens;
    const auto n_prompt = static_cast<int32_t>(tokens.size());
    tokens.insert(tokens.end(), said.begin(), said.end());
    const Result<PrefillReport> report = engine_.prefill(
        {.sequence = generation.sequence, .tokens = tokens, .n_keep = n_prompt, .blocks = {}}, {});
    if (!report.ok()) return report.error();
    generation.n_generated = static_cast<int32_t>(said.size());
    MutexLock lock(state_.mutex);
    for (const Token token : said) state_.sequences.append(generation.sequence, token);
    // Nothing is missing behind the answer.
    for (Token token = 0; token < engine_.info().n_vocab; ++token) {
        if (!text_.is_end(token)) continue;
        generation.last_token = token;
        break;
    }
    return {};
}

void TeamWay::work_in_background() {
    while (background_.has_work()) background_.step([] { return true; });
}

PoolSize TeamWay::pool() const {
    const AnchorPool::Stats stats = anchors_.stats();
    return {stats.anchors, stats.bytes};
}

void TeamWay::forget_sequences() {
    MutexLock lock(state_.mutex);
    for (int32_t sequence = 0; sequence < state_.sequences.size(); ++sequence) {
        engine_.truncate(sequence, 0);
        state_.sequences.clear(sequence);
    }
}

}  // namespace spolia
