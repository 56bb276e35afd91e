#include "tests/support/fake_engine.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace spolia::test {
namespace {

uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9;
    x ^= x >> 27;
    x *= 0x94d049bb133111eb;
    return x ^ x >> 31;
}

uint64_t mix(uint64_t a, uint64_t b) { return mix(a + 0x9e3779b97f4a7c15 * (b + 1)); }

uint64_t state_in(const KvBlock& block, int32_t row) {
    uint64_t state = 0;
    std::memcpy(&state, block.k(0).data() + row * block.meta().layout.k_dim, sizeof(state));
    return state;
}

}  // namespace

FakeEngine::FakeEngine(FakeEngineOptions options, FakeEngineControl& control)
    : options_(std::move(options)), control_(control), sequences_(options_.n_sequences) {
    info_.name = "fake";
    info_.architecture = "fake";
    info_.fingerprint = {1, 2};
    info_.n_vocab = options_.n_vocab;
    info_.n_ctx_train = options_.n_ctx;
    info_.kv = {.n_layer = 4, .k_dim = 4, .v_dim = 4};
    info_.support = options_.support;
    if (info_.support != ReuseSupport::kFused) info_.support_reason = "the test says so";
    limits_ = {options_.n_sequences, options_.n_ctx, options_.n_batch_rows};
}

FakeEngine::State FakeEngine::next_state(State sum, Token token, size_t position) {
    return mix(mix(sum, static_cast<uint64_t>(token)), position);
}

FakeEngine::State FakeEngine::sum_of(std::span<const Row> rows) {
    State sum = 0;
    for (size_t i = 0; i < rows.size(); ++i) sum += mix(rows[i].state, i);
    return sum;
}

std::vector<FakeEngine::State> FakeEngine::dense_states(std::span<const Token> tokens) {
    std::vector<State> states;
    State sum = 0;
    for (size_t i = 0; i < tokens.size(); ++i) {
        states.push_back(next_state(sum, tokens[i], i));
        sum += mix(states.back(), i);
    }
    return states;
}

void FakeEngine::check(bool holds, const std::string& what) const {
    if (!holds) control_.violation(what);
}

void FakeEngine::check_thread() const {
    if (!thread_) thread_ = std::this_thread::get_id();
    check(*thread_ == std::this_thread::get_id(), "the engine was called by a second thread");
}

void FakeEngine::check_plan(const PrefillPlan& plan) const {
    const int32_t n_prompt = static_cast<int32_t>(plan.tokens.size());
    check(plan.sequence >= 0 && plan.sequence < options_.n_sequences, "no such sequence");
    check(n_prompt > 0, "an empty prompt");
    check(plan.n_keep >= 0 && plan.n_keep < n_prompt, "n_keep leaves nothing to compute");
    const std::vector<State> dense = dense_states(plan.tokens);
    const auto& rows = sequences_[plan.sequence].rows;
    check(static_cast<size_t>(plan.n_keep) <= rows.size(), "n_keep is beyond the sequence");
    for (int32_t i = 0; i < plan.n_keep; ++i) {
        check(rows[i].token == plan.tokens[i], "a kept row holds another token");
        check(rows[i].state == dense[i], "a kept row is not exact");
    }
    int32_t exact_end = plan.n_keep;
    int32_t end = plan.n_keep;
    for (const PlacedBlock& block : plan.blocks) {
        check(block.row >= end && block.n_rows > 0, "blocks overlap or descend");
        if (block.exact) check(block.row == exact_end, "an exact page does not touch exact rows");
        end = block.row + block.n_rows;
        if (block.exact) exact_end = end;
        check(end <= n_prompt, "a block reaches beyond the prompt");
        check_block(plan, block, dense);
    }
}

void FakeEngine::check_block(const PrefillPlan& plan, const PlacedBlock& block,
                             std::span<const State> dense) const {
    const BlockMeta& meta = block.block->meta();
    check(block.source_row >= 0 && block.source_row + block.n_rows <= meta.n_rows(),
          "rows outside the block");
    check(block.exact == (meta.provenance == Provenance::kExact), "wrong provenance");
    check(meta.frame_row == (block.exact ? block.row - block.source_row : 0), "wrong frame");
    for (int32_t i = 0; i < block.n_rows; ++i) {
        check(meta.tokens[block.source_row + i] == plan.tokens[block.row + i],
              "a placed row holds another token");
        if (block.exact || block.settled) {
            check(placed_state(plan, block.row + i) == dense[block.row + i],
                  block.exact ? "an exact page is not exact" : "a settled row is not settled");
        }
    }
}

FakeEngine::State FakeEngine::placed_state(const PrefillPlan& plan, int32_t row) const {
    for (const PlacedBlock& block : plan.blocks) {
        if (row < block.row || row >= block.row + block.n_rows) continue;
        const int32_t source = block.source_row + row - block.row;
        const State state = state_in(*block.block, source);
        const int32_t delta = row - source - static_cast<int32_t>(options_.sink_prefix.size());
        return block.exact || delta == 0 ? state : mix(state, static_cast<uint64_t>(row));
    }
    return 0;
}

std::vector<int32_t> FakeEngine::rows_to_mend(const PrefillPlan& plan, int64_t* row_layers) const {
    std::vector<PassiveSpan> spans;
    int32_t n_passive = 0;
    for (const PlacedBlock& block : plan.blocks) {
        if (block.exact) continue;
        spans.push_back({{block.row, block.row + block.n_rows}, block.settled});
        n_passive += block.n_rows;
    }
    if (plan.selector == nullptr) return {};
    const auto stages = plan.selector->stages();
    std::vector<float> attention;  // of every row
    if (plan.selector->wants_attention()) {
        for (size_t row = 0; row < plan.tokens.size(); ++row) {
            attention.push_back(static_cast<float>(mix(row) % 1000));
        }
    }
    std::vector<int32_t> active = plan.selector->pick({spans, plan.outline, attention}).rows;
    int64_t n_row_layers = 0;
    int32_t layer = 0;
    for (size_t stage = 0; stage < stages.size(); ++stage) {
        n_row_layers += std::ssize(active) * (stages[stage].layer - layer);
        layer = stages[stage].layer;
        std::vector<float> deviation, attended;
        for (const int32_t row : active) {
            deviation.push_back(static_cast<float>(mix(placed_state(plan, row)) % 1000));
            if (!attention.empty()) attended.push_back(attention[static_cast<size_t>(row)]);
        }
        active = plan.selector->choose(static_cast<int32_t>(stage),
                                       {active, deviation, attended, n_passive});
    }
    n_row_layers += std::ssize(active) * (info_.kv.n_layer - layer);
    if (row_layers != nullptr) *row_layers = n_row_layers;
    return active;
}

std::vector<FakeEngine::Source> FakeEngine::sources(const PrefillPlan& plan) const {
    std::vector<Source> sources(plan.tokens.size(), Source::kCompute);
    for (const PlacedBlock& block : plan.blocks) {
        std::fill_n(sources.begin() + block.row, block.n_rows,
                    block.exact ? Source::kExactPage : Source::kBlock);
    }
    for (const int32_t row : rows_to_mend(plan)) sources[row] = Source::kBlended;
    sources.back() = Source::kCompute;
    return sources;
}

Result<PrefillReport> FakeEngine::prefill(const PrefillPlan& plan, const PrefillTick& tick) {
    check_thread();
    ++control_.n_prefills;
    if (control_.before_prefill) control_.before_prefill();
    Sequence& sequence = sequences_[plan.sequence];
    if (std::ssize(plan.tokens) > options_.n_ctx) {
        control_.violation("a prompt is too long");
        sequence.rows.clear();
        return Error{ErrorCode::kContextTooLong, "the prompt is too long"};
    }
    check_plan(plan);
    const std::vector<Source> source = sources(plan);
    std::vector<Row> rows(sequence.rows.begin(), sequence.rows.begin() + plan.n_keep);
    sequence.rows.clear();
    PrefillReport report;
    report.n_exact = plan.n_keep;
    State sum = sum_of(rows);
    int32_t in_batch = 0;
    int n_batches = 0;
    double compute_us = 0;
    for (int32_t row = plan.n_keep; row < static_cast<int32_t>(plan.tokens.size()); ++row) {
        const bool placed = source[row] == Source::kExactPage || source[row] == Source::kBlock;
        rows.push_back({plan.tokens[row],
                        placed ? placed_state(plan, row) : next_state(sum, plan.tokens[row], row)});
        sum += mix(rows.back().state, row);
        report.n_exact += source[row] == Source::kExactPage;
        report.n_shifted += source[row] == Source::kBlock;
        report.n_computed += source[row] == Source::kCompute;
        if (source[row] == Source::kBlended) report.blended_rows.push_back(row);
        if (placed) continue;
        compute_us += options_.us_per_row + options_.us_per_row_context * (row + 1);
        ++control_.n_rows_computed;
        if (++in_batch < options_.n_batch_rows || row + 1 == static_cast<int32_t>(source.size())) {
            continue;
        }
        in_batch = 0;
        if (control_.between_batches) control_.between_batches(n_batches);
        ++n_batches;
        if (control_.prefills_to_fail > 0) {
            --control_.prefills_to_fail;
            return Error{ErrorCode::kInternal, "the test made the prefill fail"};
        }
        if (tick && !tick()) return Error{ErrorCode::kCancelled, "cancelled"};
    }
    report.n_blended = static_cast<int32_t>(report.blended_rows.size());
    rows_to_mend(plan, &report.mend_row_layers);
    report.compute_us = static_cast<int64_t>(compute_us);
    const int32_t n_placed = report.n_shifted + report.n_exact - plan.n_keep;
    report.place_us = static_cast<int64_t>(n_placed * options_.us_per_placed_row);
    sequence.rows = std::move(rows);
    set_logits(sequence);
    diverge(plan, sequence);
    return report;
}

Status FakeEngine::decode(std::span<const DecodeItem> items) {
    check_thread();
    ++control_.n_decodes;
    if (control_.before_decode) control_.before_decode();
    if (control_.decodes_to_fail > 0) {
        --control_.decodes_to_fail;
        return Error{ErrorCode::kInternal, "the test made the decode fail"};
    }
    std::vector<int32_t> seen;
    for (const DecodeItem& item : items) {
        check(std::find(seen.begin(), seen.end(), item.sequence) == seen.end(),
              "a sequence is decoded twice in one step");
        seen.push_back(item.sequence);
        Sequence& sequence = sequences_[item.sequence];
        check(!sequence.rows.empty(), "an empty sequence is decoded");
        check(static_cast<int32_t>(sequence.rows.size()) < options_.n_ctx, "context overrun");
        const size_t row = sequence.rows.size();
        sequence.rows.push_back({item.token, next_state(sum_of(sequence.rows), item.token, row)});
        set_logits(sequence);
    }
    return {};
}

void FakeEngine::set_logits(Sequence& sequence) const {
    set_logits(sequence.logits, sequence.rows.back().state);
}

void FakeEngine::set_logits(std::vector<float>& logits, State state) const {
    logits.resize(options_.n_vocab);
    for (int32_t token = 0; token < options_.n_vocab; ++token) {
        logits[token] = static_cast<float>(mix(state, token) >> 40) / float(1 << 24);
    }
    const bool end = options_.end_every > 0 && mix(state) % options_.end_every == 0;
    logits[options_.end_token] = end ? 2.0f : -1.0f;
}

void FakeEngine::diverge(const PrefillPlan& plan, Sequence& sequence) const {
    if (!control_.divergence) return;
    const bool composed = std::any_of(plan.blocks.begin(), plan.blocks.end(),
                                      [](const PlacedBlock& block) { return !block.exact; });
    if (!composed) return;
    set_logits(sequence.logits, dense_states(plan.tokens).back());
    if (control_.certainty) {
        *std::max_element(sequence.logits.begin(), sequence.logits.end()) +=
            control_.certainty(plan);
    }
    *std::min_element(sequence.logits.begin(), sequence.logits.end()) += control_.divergence(plan);
}

std::span<const float> FakeEngine::logits(int32_t sequence) const {
    check_thread();
    return sequences_[sequence].logits;
}

void FakeEngine::truncate(int32_t sequence, int32_t n_rows) {
    check_thread();
    auto& rows = sequences_[sequence].rows;
    if (rows.size() > static_cast<size_t>(n_rows)) rows.resize(n_rows);
}

std::unique_ptr<KvBlock> FakeEngine::make_block(BlockMeta meta,
                                                std::span<const State> states) const {
    meta.model = info_.fingerprint;
    meta.layout = info_.kv;
    auto block = std::make_unique<KvBlock>(std::move(meta));
    std::memset(block->data().data(), 0, block->data().size());
    std::memcpy(block->k(0).data(), states.data(), states.size_bytes());
    return block;
}

Result<std::unique_ptr<KvBlock>> FakeEngine::encode_isolated(const Key128& key,
                                                             std::span<const Token> tokens,
                                                             const PrefillTick& tick) {
    check_thread();
    ++control_.n_encodes;
    if (control_.before_encode) control_.before_encode();
    if (options_.support == ReuseSupport::kExactOnly) {
        return Error{ErrorCode::kUnsupported, "exact prefixes only"};
    }
    if (control_.encodes_to_fail > 0) {
        --control_.encodes_to_fail;
        return Error{ErrorCode::kInternal, "the test made the encoding fail"};
    }
    std::vector<Token> all = options_.sink_prefix;
    all.insert(all.end(), tokens.begin(), tokens.end());
    const size_t batch_rows = static_cast<size_t>(options_.n_batch_rows);
    for (size_t row = batch_rows; row < all.size(); row += batch_rows) {
        if (tick && !tick()) return Error{ErrorCode::kCancelled, "cancelled"};
    }
    const std::vector<State> states = dense_states(all);
    BlockMeta meta;
    meta.key = key;
    meta.provenance = Provenance::kIsolated;
    meta.tokens.assign(tokens.begin(), tokens.end());
    return make_block(std::move(meta), std::span(states).subspan(options_.sink_prefix.size()));
}

Status FakeEngine::read_rows(int32_t sequence, int32_t layer, int32_t begin, std::span<uint16_t> k,
                             std::span<uint16_t> v) const {
    check_thread();
    const auto& rows = sequences_[static_cast<size_t>(sequence)].rows;
    const auto k_dim = static_cast<size_t>(info_.kv.k_dim);
    const size_t n_rows = k.size() / k_dim;
    const auto first = static_cast<size_t>(begin);
    if (options_.support == ReuseSupport::kExactOnly) {
        return Error{ErrorCode::kUnsupported, "exact prefixes only"};
    }
    if (first + n_rows > rows.size()) {
        return Error{ErrorCode::kInvalidArgument, "the sequence does not hold the rows"};
    }
    std::ranges::fill(k, 0);
    std::ranges::fill(v, 0);
    for (size_t i = 0; layer == 0 && i < n_rows; ++i) {
        const State& state = rows[first + i].state;
        std::memcpy(k.data() + i * k_dim, &state, sizeof state);
    }
    return {};
}

Result<std::unique_ptr<KvBlock>> FakeEngine::capture(const Capture& wanted) {
    check_thread();
    ++control_.n_captures;
    if (options_.support == ReuseSupport::kExactOnly) {
        return Error{ErrorCode::kUnsupported, "exact prefixes only"};
    }
    const auto& rows = sequences_[wanted.sequence].rows;
    const auto begin = static_cast<size_t>(wanted.begin);
    if (begin + wanted.tokens.size() > rows.size()) {
        control_.violation("rows beyond the sequence are captured");
        return Error{ErrorCode::kInvalidArgument, "the sequence does not hold the rows"};
    }
    std::vector<Token> all;
    std::vector<State> states;
    for (size_t i = 0; i < begin + wanted.tokens.size(); ++i) {
        all.push_back(rows[i].token);
        if (i >= begin) states.push_back(rows[i].state);
    }
    check(std::ranges::equal(wanted.tokens, std::span(all).subspan(begin)),
          "wrong tokens are captured");
    const bool page = wanted.provenance == Provenance::kExact;
    if (wanted.provenance != Provenance::kApproximate) {
        const std::vector<State> dense = dense_states(all);
        check(std::ranges::equal(states, std::span(dense).subspan(begin)),
              "rows that are not exact are captured");
    }
    BlockMeta meta;
    meta.key = wanted.key;
    meta.left_context = wanted.left_context;
    meta.provenance = wanted.provenance;
    meta.frame_row = page ? wanted.begin : 0;
    meta.tokens.assign(wanted.tokens.begin(), wanted.tokens.end());
    return make_block(std::move(meta), states);
}

}  // namespace spolia::test
