#include "tests/contract/engine_contract.h"

#include <algorithm>
#include <map>

namespace spolia::testing {
namespace {

PrefillPlan plan_of(int32_t sequence, std::span<const Token> tokens, int32_t n_keep = 0,
                    std::span<const PlacedBlock> blocks = {}, const Selector* selector = nullptr) {
    PrefillPlan plan;
    plan.sequence = sequence;
    plan.tokens = tokens;
    plan.n_keep = n_keep;
    plan.blocks = blocks;
    plan.selector = selector;
    return plan;
}

std::unique_ptr<Selector> selector_of(const std::string& policy, const ModelInfo& model) {
    SelectorParams params;
    params.policy = policy;
    params.head_rows = 4;
    return make_selector(params, model.kv.n_layer).value();
}

// Policies that engines of this support take.
std::vector<std::string> policies_of(ReuseSupport support) {
    if (support == ReuseSupport::kFused) return {"none", "epic", "cacheblend", "query", "full"};
    return {"none", "epic", "full"};
}

}  // namespace

void EngineContract::SetUp() {
    engine_ = GetParam().make();
    ASSERT_NE(engine_, nullptr);
}

std::vector<Token> EngineContract::text(int32_t n_rows) {
    // The last quarter of a vocabulary has ordinary tokens.
    const int32_t n_vocab = engine_->info().n_vocab;
    std::uniform_int_distribution<Token> token(n_vocab - n_vocab / 4, n_vocab - 1);
    std::vector<Token> tokens(static_cast<size_t>(n_rows));
    for (Token& each : tokens) each = token(generator_);
    return tokens;
}

PrefillReport EngineContract::prefill(const PrefillPlan& plan, const PrefillTick& tick) {
    Result<PrefillReport> report = engine_->prefill(plan, tick);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    if (!report) return {};
    EXPECT_EQ(report->n_exact + report->n_shifted + report->n_blended + report->n_computed,
              static_cast<int32_t>(plan.tokens.size()));
    EXPECT_EQ(report->n_blended, static_cast<int32_t>(report->blended_rows.size()));
    EXPECT_TRUE(std::is_sorted(report->blended_rows.begin(), report->blended_rows.end()));
    EXPECT_GE(report->place_us, 0);
    EXPECT_GE(report->check_us, 0);
    EXPECT_GE(report->compute_us, 0);
    return *std::move(report);
}

PrefillReport EngineContract::prefill_dense(int32_t sequence, std::span<const Token> tokens) {
    return prefill(plan_of(sequence, tokens));
}

void EngineContract::decode(const std::vector<DecodeItem>& items) {
    const Status status = engine_->decode(items);
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
}

std::vector<float> EngineContract::logits(int32_t sequence) const {
    const std::span<const float> values = engine_->logits(sequence);
    return {values.begin(), values.end()};
}

std::unique_ptr<KvBlock> EngineContract::encode(std::span<const Token> tokens) {
    auto block = engine_->encode_isolated(hash_text("chunk"), tokens, {});
    EXPECT_TRUE(block.ok()) << (block.ok() ? "" : block.error().message);
    return block ? std::move(block).value() : nullptr;
}

std::unique_ptr<KvBlock> EngineContract::page(int32_t sequence, int32_t begin,
                                              std::span<const Token> tokens) {
    auto block = engine_->capture(
        {sequence, begin, hash_text("page"), hash_text("left"), Provenance::kExact, tokens});
    return block ? std::move(block).value() : nullptr;
}

void expect_near(std::span<const float> ours, std::span<const float> theirs) {
    ASSERT_EQ(ours.size(), theirs.size());
    for (size_t i = 0; i < ours.size(); ++i) ASSERT_NEAR(ours[i], theirs[i], 0.02) << "token " << i;
}

TEST_P(EngineContract, DescribesItsModelAndLimits) {
    const ModelInfo& model = engine_->info();
    EXPECT_GT(model.n_vocab, 0);
    EXPECT_GT(model.kv.n_layer, 0);
    EXPECT_EQ(model.support_reason.empty(), model.support == ReuseSupport::kFused);
    EXPECT_FALSE(model.name.empty());
    const EngineLimits& limits = engine_->limits();
    ASSERT_GE(limits.n_sequences, 3);
    ASSERT_GE(limits.n_ctx, 200);
    ASSERT_LE(limits.n_batch_rows, 64);
    for (const Token token : engine_->sink_prefix()) {
        EXPECT_TRUE(token >= 0 && token < model.n_vocab);
    }
    EXPECT_FALSE(engine_->sink_prefix().empty());
}

TEST_P(EngineContract, LogitsAreThoseOfTheLastRow) {
    const std::vector<Token> tokens = text(90);
    EXPECT_EQ(prefill_dense(0, tokens).n_computed, 90);
    const std::vector<float> whole = logits(0);
    EXPECT_EQ(whole.size(), static_cast<size_t>(engine_->info().n_vocab));

    // The same rows, some of them decoded one by one.
    prefill_dense(1, std::span(tokens).first(85));
    for (size_t row = 85; row < 90; ++row) decode({{1, tokens[row]}});
    expect_near(logits(1), whole);

    std::vector<Token> other = tokens;
    other[3] = other[3] == other[4] ? other[5] : other[4];
    prefill_dense(2, other);
    EXPECT_NE(logits(2), whole);
}

TEST_P(EngineContract, ReplacesWhatASequenceHeld) {
    const std::vector<Token> tokens = text(60), other = text(150);
    prefill_dense(0, tokens);
    const std::vector<float> first = logits(0);
    prefill_dense(0, other);
    prefill_dense(0, tokens);
    EXPECT_EQ(logits(0), first);
}

TEST_P(EngineContract, KeptRowsChangeNoBits) {
    const int32_t n_tile_rows = engine_->limits().n_tile_rows;
    ASSERT_GE(n_tile_rows, 1);
    for (const int32_t n_prompt : {1, n_tile_rows, 3 * n_tile_rows - 1, 130, 200}) {
        const std::vector<Token> tokens = text(n_prompt);
        prefill_dense(0, tokens);
        for (int32_t n_exact = 1; n_exact <= n_prompt; n_exact += 23) {
            SCOPED_TRACE(std::to_string(n_exact) + " of " + std::to_string(n_prompt));
            const int32_t n_keep = rows_kept_exactly(n_exact, n_prompt, n_tile_rows);
            std::vector<Token> other = tokens;
            other.resize(static_cast<size_t>(n_exact));
            const std::vector<Token> end = text(30);
            other.insert(other.end(), end.begin(), end.end());
            prefill_dense(1, other);
            prefill(plan_of(1, tokens, n_keep));
            EXPECT_EQ(logits(1), logits(0));
        }
    }
}

TEST_P(EngineContract, SequencesAreIndependent) {
    const std::vector<Token> a = text(40), b = text(70);
    prefill_dense(0, a);
    decode({{0, a[0]}});
    const std::vector<float> alone = logits(0);

    prefill_dense(0, a);
    prefill_dense(1, b);
    prefill_dense(2, a);
    engine_->truncate(2, 0);
    decode({{1, b[0]}, {0, a[0]}});
    expect_near(logits(0), alone);
    prefill_dense(2, b);
    decode({{2, b[0]}});
    expect_near(logits(1), logits(2));
}

TEST_P(EngineContract, KeepsTheRowsOfAPrefix) {
    const std::vector<Token> tokens = text(120), other = text(30);
    prefill_dense(0, tokens);
    std::vector<Token> diverging(tokens.begin(), tokens.begin() + 80);
    diverging.insert(diverging.end(), other.begin(), other.end());
    prefill_dense(1, diverging);

    const PrefillReport report = prefill(plan_of(0, diverging, 80));
    EXPECT_EQ(report.n_exact, 80);
    EXPECT_EQ(report.n_computed, 30);
    expect_near(logits(0), logits(1));
    // One row at the end is always left to compute.
    EXPECT_EQ(prefill(plan_of(0, diverging, 109)).n_computed, 1);
    expect_near(logits(0), logits(1));
}

TEST_P(EngineContract, TruncateForgetsRows) {
    const std::vector<Token> tokens = text(50);
    prefill_dense(0, tokens);
    prefill_dense(1, std::span(tokens).first(30));
    decode({{1, tokens[30]}});
    engine_->truncate(0, 30);
    decode({{0, tokens[30]}});
    expect_near(logits(0), logits(1));
    engine_->truncate(0, 1000);
    engine_->truncate(2, 0);
    decode({{0, tokens[31]}, {1, tokens[31]}});
    expect_near(logits(0), logits(1));
}

TEST_P(EngineContract, RefusesPromptsThatDontFit) {
    prefill_dense(0, text(10));
    const auto too_long = engine_->prefill(plan_of(0, text(engine_->limits().n_ctx + 1)), {});
    ASSERT_FALSE(too_long.ok());
    EXPECT_EQ(too_long.error().code, ErrorCode::kContextTooLong);
    EXPECT_FALSE(too_long.error().message.empty());
    const std::vector<Token> tokens = text(20);
    EXPECT_EQ(prefill_dense(0, tokens).n_computed, 20);
}

TEST_P(EngineContract, CancelledPrefillLeavesTheSequenceEmpty) {
    const std::vector<Token> tokens = text(190), other = text(20);
    prefill_dense(1, other);
    int n_ticks = 0;
    prefill(plan_of(0, tokens), [&] { return ++n_ticks > 0; });
    const std::vector<float> undisturbed = logits(0);
    ASSERT_GE(n_ticks, 2) << "190 rows take three batches at least";
    for (int last = 1; last <= n_ticks; ++last) {
        int calls = 0;
        const auto report = engine_->prefill(plan_of(0, tokens), [&] { return ++calls < last; });
        ASSERT_FALSE(report.ok());
        EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
        EXPECT_EQ(calls, last);
        EXPECT_EQ(page(0, 0, std::span(tokens).first(1)), nullptr);
    }
    prefill_dense(0, tokens);
    EXPECT_EQ(logits(0), undisturbed);
    decode({{1, other[0]}});
}

TEST_P(EngineContract, OtherSequencesAreDecodedBetweenBatches) {
    const std::vector<Token> tokens = text(190), other = text(40), answer = text(64);
    prefill_dense(0, tokens);
    const std::vector<float> alone = logits(0);
    prefill_dense(1, other);
    prefill_dense(2, other);
    size_t n_decoded = 0;
    prefill(plan_of(0, tokens), [&] {
        decode({{1, answer[n_decoded]}});
        return ++n_decoded < answer.size();
    });
    EXPECT_EQ(logits(0), alone);
    for (size_t i = 0; i < n_decoded; ++i) decode({{2, answer[i]}});
    expect_near(logits(1), logits(2));
}

TEST_P(EngineContract, EncodesChunksInTheCanonicalFrame) {
    const std::vector<Token> tokens = text(70);
    if (!has_blocks()) {
        EXPECT_EQ(engine_->encode_isolated({}, tokens, {}).error().code, ErrorCode::kUnsupported);
        return;
    }
    prefill_dense(0, tokens);
    const auto block = encode(tokens);
    ASSERT_NE(block, nullptr);
    const BlockMeta& meta = block->meta();
    EXPECT_EQ(meta.key, hash_text("chunk"));
    EXPECT_EQ(meta.model, engine_->info().fingerprint);
    EXPECT_EQ(meta.provenance, Provenance::kIsolated);
    EXPECT_EQ(meta.frame_row, 0);
    EXPECT_EQ(meta.layout, engine_->info().kv);
    EXPECT_EQ(meta.tokens, tokens);
    const auto again = encode(tokens);
    ASSERT_NE(again, nullptr);
    EXPECT_TRUE(std::ranges::equal(block->data(), again->data()));
    decode({{0, tokens[0]}});
}

TEST_P(EngineContract, EncodingIsCancelledBetweenBatches) {
    if (!has_blocks()) return;  // as EncodesChunksInTheCanonicalFrame finds
    const std::vector<Token> tokens = text(190), other = text(20);
    prefill_dense(0, other);
    int n_ticks = 0;
    const auto whole =
        engine_->encode_isolated(hash_text("chunk"), tokens, [&] { return ++n_ticks > 0; });
    ASSERT_TRUE(whole.ok());
    ASSERT_GE(n_ticks, 2) << "190 rows take three batches at least";
    for (int last = 1; last <= n_ticks; ++last) {
        int calls = 0;
        const auto cancelled = engine_->encode_isolated(hash_text("chunk"), tokens, [&] {
            decode({{0, other[0]}});
            return ++calls < last;
        });
        ASSERT_FALSE(cancelled.ok());
        EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
        EXPECT_EQ(calls, last);
    }
    const auto again = encode(tokens);
    ASSERT_NE(again, nullptr);
    EXPECT_TRUE(std::ranges::equal(again->data(), (*whole)->data()));
}

TEST_P(EngineContract, PagesComeBackBitByBit) {
    const std::vector<Token> tokens = text(120);
    prefill_dense(0, tokens);
    const std::span<const Token> paged = std::span(tokens).subspan(32, 64);
    const auto first = page(0, 0, std::span(tokens).first(32)), second = page(0, 32, paged);
    if (!has_blocks()) {
        EXPECT_EQ(first, nullptr);
        return;
    }
    ASSERT_TRUE(first != nullptr && second != nullptr);
    EXPECT_EQ(second->meta().key, hash_text("page"));
    EXPECT_EQ(second->meta().left_context, hash_text("left"));
    EXPECT_EQ(second->meta().model, engine_->info().fingerprint);
    EXPECT_EQ(second->meta().provenance, Provenance::kExact);
    EXPECT_EQ(second->meta().frame_row, 32);
    EXPECT_TRUE(std::ranges::equal(second->meta().tokens, paged));

    const std::vector<PlacedBlock> placed = {{0, 0, 32, first.get(), true, false},
                                             {32, 0, 64, second.get(), true, false}};
    const PrefillReport report = prefill(plan_of(1, tokens, 0, placed));
    EXPECT_EQ(report.n_exact, 96);
    EXPECT_EQ(report.n_computed, 24);
    expect_near(logits(1), logits(0));
    const auto copied = page(1, 32, paged);
    ASSERT_NE(copied, nullptr);
    EXPECT_TRUE(std::ranges::equal(copied->data(), second->data()));
}

TEST_P(EngineContract, ReadsTheRowsThatItWouldKeepAsPages) {
    const std::vector<Token> tokens = text(6);
    prefill_dense(1, tokens);
    const KvLayout& kv = engine_->info().kv;
    std::vector<uint16_t> k(tokens.size() * static_cast<size_t>(kv.k_dim));
    std::vector<uint16_t> v(tokens.size() * static_cast<size_t>(kv.v_dim));
    if (engine_->info().support == ReuseSupport::kExactOnly) {
        EXPECT_EQ(engine_->read_rows(1, 0, 0, k, v).error().code, ErrorCode::kUnsupported);
        return;
    }
    Capture wanted;
    wanted.sequence = 1;
    wanted.tokens = tokens;
    const auto page = engine_->capture(wanted);
    ASSERT_TRUE(page.ok()) << page.error().message;
    for (int32_t layer = 0; layer < kv.n_layer; ++layer) {
        ASSERT_TRUE(engine_->read_rows(1, layer, 0, k, v).ok());
        EXPECT_TRUE(std::ranges::equal(k, (*page)->k(layer))) << layer;
        EXPECT_TRUE(std::ranges::equal(v, (*page)->v(layer))) << layer;
    }
    const size_t half = tokens.size() / 2;
    const auto k_half = std::span(k).first(half * static_cast<size_t>(kv.k_dim));
    const auto v_half = std::span(v).first(half * static_cast<size_t>(kv.v_dim));
    ASSERT_TRUE(engine_->read_rows(1, 0, static_cast<int32_t>(half), k_half, v_half).ok());
    EXPECT_TRUE(std::ranges::equal(k_half, (*page)->k(0).subspan(k_half.size())));
    EXPECT_FALSE(engine_->read_rows(1, 0, static_cast<int32_t>(half) + 1, k_half, v_half).ok());
    // Of rows that are not there nothing is read.
    EXPECT_FALSE(engine_->read_rows(0, 0, 0, k, v).ok());
}

TEST_P(EngineContract, ComposesPromptsOfBlocks) {
    const std::vector<Token> chunk = text(50);
    if (!has_blocks()) {
        EXPECT_EQ(engine_->encode_isolated({}, chunk, {}).error().code, ErrorCode::kUnsupported);
        return;
    }
    const auto block = encode(chunk);
    ASSERT_NE(block, nullptr);
    std::vector<Token> tokens(engine_->sink_prefix().begin(), engine_->sink_prefix().end());
    std::vector<PlacedBlock> placed;
    for (int i = 0; i < 2; ++i) {
        placed.push_back({static_cast<int32_t>(tokens.size()), 0, 50, block.get(), false, false});
        tokens.insert(tokens.end(), chunk.begin(), chunk.end());
    }
    const std::vector<Token> question = text(9);
    tokens.insert(tokens.end(), question.begin(), question.end());
    const auto n_text = static_cast<int32_t>(tokens.size()) - 100;

    prefill_dense(0, tokens);
    for (const std::string& policy : policies_of(engine_->info().support)) {
        SCOPED_TRACE(policy);
        const auto selector = selector_of(policy, engine_->info());
        const PrefillReport report = prefill(plan_of(1, tokens, 0, placed, selector.get()));
        EXPECT_EQ(report.n_computed, n_text);
        EXPECT_EQ(report.n_exact, 0);
        const std::map<std::string, int32_t> n_blended = {
            {"none", 0}, {"epic", 8}, {"cacheblend", 15}, {"query", 15}, {"full", 100}};
        EXPECT_EQ(report.n_blended, n_blended.at(policy));
        if (policy == "full") expect_near(logits(1), logits(0));
        for (const int32_t row : report.blended_rows) {
            EXPECT_TRUE(row >= placed[0].row && row < placed[1].row + 50);
        }
        decode({{1, question[0]}});
    }
}

TEST_P(EngineContract, RowsInFrontOfBlocksAreDense) {
    if (!has_blocks()) return;  // as PagesComeBackBitByBit finds
    const int32_t n_tile_rows = engine_->limits().n_tile_rows;
    const auto chunk = encode(text(40));
    ASSERT_NE(chunk, nullptr);
    const int32_t n_head = 2 * n_tile_rows + 3;
    std::vector<Token> tokens = text(n_head);
    const auto& covered = chunk->meta().tokens;
    tokens.insert(tokens.end(), covered.begin(), covered.end());
    const std::vector<Token> end = text(10);
    tokens.insert(tokens.end(), end.begin(), end.end());
    prefill_dense(0, tokens);

    const std::span whole(tokens);
    const auto n_exact = static_cast<size_t>(n_head - n_head % n_tile_rows);
    const auto expected = page(0, 0, whole.first(n_exact));
    const std::vector<PlacedBlock> placed = {{n_head, 0, 40, chunk.get()}};
    const auto selector = selector_of("epic", engine_->info());
    for (const int32_t n_keep : {0, n_tile_rows, n_head}) {
        SCOPED_TRACE(n_keep);
        if (n_keep > 0) prefill_dense(1, whole.first(static_cast<size_t>(n_head)));
        const PrefillReport report = prefill(plan_of(1, tokens, n_keep, placed, selector.get()));
        EXPECT_EQ(report.n_exact, n_keep);
        EXPECT_EQ(report.n_shifted, 36);
        const auto page_again = page(1, 0, whole.first(n_exact));
        ASSERT_NE(page_again, nullptr);
        EXPECT_TRUE(std::ranges::equal(page_again->data(), expected->data()));
    }
}

TEST_P(EngineContract, RefusesPagesThatASequenceDoesNotHold) {
    const std::vector<Token> tokens = text(20);
    prefill_dense(0, tokens);
    EXPECT_EQ(page(0, 10, std::span(tokens).first(11)), nullptr);
    engine_->truncate(0, 5);
    EXPECT_EQ(page(0, 0, std::span(tokens).first(6)), nullptr);
    EXPECT_EQ(page(0, 0, std::span(tokens).first(5)) != nullptr, has_blocks());
}

}  // namespace spolia::testing
