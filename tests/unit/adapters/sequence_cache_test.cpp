#include "adapters/llama/sequence_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "adapters/llama/load_gate.h"
#include "adapters/llama/span_prefill.h"
#include "tests/support/tiny_models.h"

namespace spolia {
namespace {

using testing::argmax;
using testing::random_tokens;
using testing::tiny_model;
using testing::TinyContext;

constexpr int32_t kSequences = 3;

std::unique_ptr<KvBlock> rows_of(const TinyContext& context, int32_t sequence, int32_t begin,
                                 int32_t n_rows) {
    BlockMeta meta;
    meta.layout = context.layout;
    meta.frame_row = begin;
    meta.tokens.resize(static_cast<size_t>(n_rows));
    return copy_rows(*context.cache, sequence, begin, std::move(meta));
}

double row_error(const KvBlock& ours, const KvBlock& theirs) {
    double worst = 0.0;
    for (int32_t layer = 0; layer < ours.meta().layout.n_layer; ++layer) {
        worst = std::max({worst, relative_error(ours.k(layer), theirs.k(layer)),
                          relative_error(ours.v(layer), theirs.v(layer))});
    }
    return worst;
}

// A cache under test beside one that computes the same tokens densely, in one go.
class Pair {
public:
    explicit Pair(const std::string& architecture)
        : tested_(tiny_model(architecture), kSequences, 256),
          dense_(tiny_model(architecture), 1, 256) {}

    SequenceCache& cache() { return *tested_.cache; }
    std::vector<Token>& tokens(int32_t sequence) { return tokens_[static_cast<size_t>(sequence)]; }

    void append(int32_t sequence, const std::vector<Token>& more) {
        ASSERT_TRUE(cache().append(sequence, more, {}).ok());
        tokens(sequence).insert(tokens(sequence).end(), more.begin(), more.end());
    }

    void truncate(int32_t sequence, int32_t n_rows) {
        cache().truncate(sequence, n_rows);
        if (static_cast<size_t>(n_rows) < tokens(sequence).size()) {
            tokens(sequence).resize(static_cast<size_t>(n_rows));
        }
    }

    void decode(const std::vector<DecodeItem>& items) {
        ASSERT_TRUE(cache().decode(items).ok());
        for (const DecodeItem& item : items) {
            tokens(item.sequence).push_back(item.token);
            expect_logits(item.sequence);
        }
    }

    // Keeps some rows and places a block of exact rows, cut into two, behind them.
    void place(int32_t sequence, int32_t n_keep, const std::vector<Token>& tail) {
        truncate(sequence, n_keep);
        tokens(sequence).insert(tokens(sequence).end(), tail.begin(), tail.end());
        run_dense(sequence);
        const auto n_tail = static_cast<int32_t>(tail.size());
        const auto block = rows_of(dense_, 0, n_keep, n_tail);
        const int32_t cut = n_tail / 2;
        std::vector<PlacedBlock> placed;
        if (cut > 0) placed.push_back({n_keep, 0, cut, block.get(), true});
        placed.push_back({n_keep + cut, cut, n_tail - cut, block.get(), true});
        ASSERT_TRUE(
            cache().place(sequence, n_keep + n_tail, n_keep, placed, tested_.rope.spec).ok());
    }

    void expect_rows(int32_t sequence) {
        const auto n_rows = static_cast<int32_t>(tokens(sequence).size());
        ASSERT_EQ(cache().n_rows(sequence), n_rows);
        if (n_rows == 0) return;
        run_dense(sequence);
        EXPECT_LT(row_error(*rows_of(tested_, sequence, 0, n_rows), *rows_of(dense_, 0, 0, n_rows)),
                  1e-5);
    }

    void expect_logits(int32_t sequence) {
        run_dense(sequence);
        EXPECT_LT(kl_divergence(dense_.cache->logits(0), cache().logits(sequence)), 1e-5);
        EXPECT_EQ(argmax(cache().logits(sequence)), argmax(dense_.cache->logits(0)));
    }

private:
    void run_dense(int32_t sequence) {
        dense_.cache->truncate(0, 0);
        ASSERT_TRUE(dense_.cache->append(0, tokens(sequence), {}).ok());
    }

    TinyContext tested_, dense_;
    std::vector<Token> tokens_[kSequences];
};

class EachArchitecture : public ::testing::TestWithParam<const char*> {};

TEST_P(EachArchitecture, KeepsRowsInTheirCellsUnderRandomOperations) {
    std::mt19937 generator(50);
    const auto below = [&](size_t n) { return static_cast<int32_t>(generator() % n); };
    Pair pair(GetParam());
    for (int round = 0; round < 30; ++round) {
        SCOPED_TRACE("seed 50, round " + std::to_string(round));
        const int32_t sequence = below(kSequences);
        const size_t held = pair.tokens(sequence).size();
        switch (held > 180 ? 2 : below(5)) {
            case 0:
                pair.append(sequence, random_tokens(generator, 1 + below(70)));
                pair.expect_logits(sequence);
                break;
            case 1: {
                std::vector<DecodeItem> items;
                for (int32_t s = 0; s < kSequences; ++s) {
                    if (!pair.tokens(s).empty() && generator() % 2) {
                        items.push_back({s, random_tokens(generator, 1)[0]});
                    }
                }
                if (!items.empty()) pair.decode(items);
                break;
            }
            case 2: pair.truncate(sequence, below(held + 1)); break;
            default: pair.place(sequence, below(held + 1), random_tokens(generator, 1 + below(70)));
        }
        for (int32_t s = 0; s < kSequences; ++s) pair.expect_rows(s);
        if (::testing::Test::HasFatalFailure()) return;
    }
}

INSTANTIATE_TEST_SUITE_P(SequenceCache, EachArchitecture,
                         ::testing::Values("llama", "qwen2", "qwen3", "granite"),
                         [](const auto& each) { return std::string(each.param); });

TEST(SequenceCache, PlacedRowsAreRotatedAndGapsAreZero) {
    TinyContext context(tiny_model("qwen2"), 2, 256);
    std::mt19937 generator(51);
    ASSERT_TRUE(context.cache->append(0, random_tokens(generator, 20), {}).ok());
    auto block = rows_of(context, 0, 5, 10);
    const std::vector<PlacedBlock> placed = {{30, 2, 6, block.get()}};
    ASSERT_TRUE(context.cache->place(1, 40, 0, placed, context.rope.spec).ok());
    ASSERT_EQ(context.cache->n_rows(1), 40);

    const auto all = rows_of(context, 1, 0, 40);
    const Rotation rotation(context.rope.spec, 30 - 7);
    const auto dim = static_cast<size_t>(context.layout.k_dim);
    for (int32_t layer = 0; layer < context.layout.n_layer; ++layer) {
        std::vector<uint16_t> k(40 * dim), v(40 * dim);
        rotate_rows(rotation, block->k(layer).data() + 2 * dim, k.data() + 30 * dim, 6,
                    context.layout.k_dim);
        std::ranges::copy(block->v(layer).subspan(2 * dim, 6 * dim), v.begin() + 30 * dim);
        EXPECT_TRUE(std::ranges::equal(all->k(layer), k)) << layer;
        EXPECT_TRUE(std::ranges::equal(all->v(layer), v)) << layer;
    }
}

TEST(SequenceCache, FailedAppendLeavesTheSequenceEmpty) {
    TinyContext context(tiny_model("llama"), 2, 256);
    std::mt19937 generator(52);
    ASSERT_TRUE(context.cache->append(0, random_tokens(generator, 200), {}).ok());
    const Status status = context.cache->append(0, random_tokens(generator, 100), {});
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kContextTooLong);
    EXPECT_EQ(context.cache->n_rows(0), 0);
    EXPECT_TRUE(context.cache->append(0, random_tokens(generator, 256), {}).ok());
}

TEST(SequenceCache, FailedDecodeLeavesTheSequencesAsTheyWere) {
    Pair pair("llama");
    std::mt19937 generator(53);
    pair.append(0, random_tokens(generator, 256));
    pair.append(1, random_tokens(generator, 10));
    const std::vector<DecodeItem> full = {{1, 400}, {0, 400}}, unknown = {{1, 5000}};
    const Status too_long = pair.cache().decode(full);
    ASSERT_FALSE(too_long.ok());
    EXPECT_EQ(too_long.error().code, ErrorCode::kContextTooLong);
    EXPECT_FALSE(pair.cache().decode(unknown).ok());
    pair.expect_rows(0);
    pair.expect_rows(1);
    pair.decode({{1, 401}});
}

TEST(SequenceCache, CancelledBetweenBatches) {
    TinyContext context(tiny_model("llama"), 2, 256);
    std::mt19937 generator(54);
    int calls = 0;
    const Status status =
        context.cache->append(0, random_tokens(generator, 200), [&] { return ++calls < 2; });
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(context.cache->n_rows(0), 0);
}

TEST(SequenceCache, RelativeErrorOfHalfFloats) {
    const std::vector<uint16_t> ones = {0x3c00, 0x3c00}, zeros = {0, 0}, mixed = {0x3c00, 0};
    EXPECT_EQ(relative_error(ones, ones), 0.0);
    EXPECT_EQ(relative_error(mixed, ones), 0.5);
    EXPECT_EQ(relative_error(ones, zeros), 2.0);
}

}  // namespace
}  // namespace spolia
