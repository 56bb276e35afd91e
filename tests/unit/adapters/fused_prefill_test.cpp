#include "adapters/llama/fused_prefill.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "tests/support/llama_engine_fixture.h"
#include "tests/support/recording_selector.h"
#include "tests/support/reference_model.h"

namespace spolia {
namespace {

using testing::EngineCase;
using testing::kCases;
using testing::LlamaEngineTest;
using testing::name_of;
using testing::Prompt;
using testing::RecordingSelector;
using testing::ReferenceModel;
using testing::ReferenceRows;
using testing::RowsByLayer;
using testing::selector;
using testing::Vector;

// Half floats, and sums in another order: relative, squared.
constexpr double kErrorMax = 5e-6;
// What is meant to be told apart is at least this far.
constexpr double kErrorTold = 1e-3;

double squared_error(std::span<const float> ours, const Vector& theirs) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < theirs.size(); ++i) {
        error += (ours[i] - theirs[i]) * (ours[i] - theirs[i]);
        norm += theirs[i] * theirs[i];
    }
    return error / norm;
}

double squared_change(const Vector& fresh, const Vector& old) {
    double change = 0, norm = 0;
    for (size_t i = 0; i < old.size(); ++i) {
        change += (fresh[i] - old[i]) * (fresh[i] - old[i]);
        norm += old[i] * old[i];
    }
    return change / norm;
}

std::vector<int32_t> up_to(int32_t n_rows) {
    std::vector<int32_t> rows(static_cast<size_t>(n_rows));
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
}

std::unique_ptr<Selector> query(double ratio, QueryRank rank = QueryRank::kAttentionDeviation,
                                int32_t layer = 1) {
    return make_selector({.policy = "query", .stages = {{layer, ratio}}, .rank = rank}, 4).value();
}

// A prompt of chunks and text, for the engine and for the reference model.
class AgainstReference : public LlamaEngineTest, public ::testing::WithParamInterface<EngineCase> {
protected:
    void SetUp() override {
        // Batches smaller than the prompt and than its parts.
        open(GetParam().architecture, GetParam().attention, 24);
        model_.emplace(tiny_model_shape(GetParam().architecture));
        prompt_.emplace(engine_->sink_prefix());
        prompt_->text(text(4));
        for (const int32_t n_rows : {31, 1, 18}) add_chunk(n_rows);
        prompt_->text(text(3));
        add_chunk(22);
        prompt_->text(text(13));
        placed_ = model_->empty_rows(n_rows());
        for (size_t i = 0; i < chunks_.size(); ++i) {
            place(model_->encode(engine_->sink_prefix(), chunks_[i]), prompt_->blocks()[i].row);
        }
    }

    void add_chunk(int32_t n_rows) {
        chunks_.push_back(text(n_rows));
        prompt_->chunk(encode(chunks_.back()));
    }

    void place(const ReferenceRows& block, int32_t row) {
        for (size_t layer = 0; layer < block.k.size(); ++layer) {
            std::ranges::copy(block.k[layer], placed_.k[layer].begin() + row);
            std::ranges::copy(block.v[layer], placed_.v[layer].begin() + row);
        }
    }

    size_t n_rows() const { return prompt_->tokens().size(); }

    std::vector<int32_t> passive_rows() const {
        std::vector<int32_t> rows;
        for (const PlacedBlock& block : prompt_->blocks()) {
            for (int32_t i = 0; i < block.n_rows; ++i) rows.push_back(block.row + i);
        }
        return rows;
    }

    std::vector<int32_t> fresh_and(const std::vector<int32_t>& chosen) const {
        std::vector<int32_t> rows;
        std::ranges::set_difference(up_to(static_cast<int32_t>(n_rows())), passive_rows(),
                                    std::back_inserter(rows));
        return merge_rows(rows, chosen);
    }

    // What the layers compute where `kept` are the rows that each stage leaves, `blended` the last.
    RowsByLayer active(std::span<const CheckStage> stages,
                       const std::vector<std::vector<int32_t>>& kept,
                       const std::vector<int32_t>& blended) const {
        RowsByLayer layers;
        for (int32_t layer = 0; layer < model_->n_layer(); ++layer) {
            std::vector<int32_t> chosen = stages.empty() ? blended : passive_rows();
            for (size_t stage = 0; stage < stages.size(); ++stage) {
                if (layer > stages[stage].layer) chosen = kept[stage];
            }
            layers.push_back(fresh_and(chosen));
        }
        return layers;
    }

    ReferenceModel::Run reference(const RowsByLayer& layers, ReferenceRows* after = nullptr) {
        ReferenceRows rows = placed_;
        ReferenceModel::Run run = model_->compute(prompt_->tokens(), layers, rows);
        if (after != nullptr) *after = std::move(rows);
        return run;
    }
    ReferenceModel::Run reference_none(ReferenceRows* after = nullptr) {
        return reference(active({}, {}, {}), after);
    }
    ReferenceRows dense_rows() {
        ReferenceRows rows;
        reference(active({}, {}, passive_rows()), &rows);
        return rows;
    }

    double deviation(const ReferenceRows& dense, int32_t layer, int32_t row, Deviation kind) const {
        const auto l = static_cast<size_t>(layer), r = static_cast<size_t>(row);
        double sum = 0;
        if (kind != Deviation::kValues) sum += squared_change(dense.k[l][r], placed_.k[l][r]);
        if (kind != Deviation::kKeys) sum += squared_change(dense.v[l][r], placed_.v[l][r]);
        return sum;
    }

    PrefillReport composed(const Selector& chosen, int32_t sequence = 1) {
        return prefill(prompt_->plan(sequence, &chosen));
    }

    std::optional<ReferenceModel> model_;
    std::optional<Prompt> prompt_;
    std::vector<std::vector<Token>> chunks_;
    ReferenceRows placed_;  // every chunk's rows as its block has them
};

TEST_P(AgainstReference, DenseComputeIsTheModels) {
    prefill_dense(0, prompt_->tokens());
    ReferenceRows rows = model_->empty_rows(n_rows());
    const Vector expected = model_->compute_all(prompt_->tokens(), rows).logits;
    EXPECT_LT(squared_error(logits(0), expected), kErrorMax);
}

TEST_P(AgainstReference, EverySelectorsPrefillComputesJustItsRows) {
    std::vector<std::unique_ptr<Selector>> selectors;
    for (const char* name : {"none", "full"}) selectors.push_back(selector(name));
    for (const int32_t head_rows : {1, 7}) {
        selectors.push_back(selector("epic", {{1, 0.15}}, head_rows));
    }
    selectors.push_back(selector("cacheblend", {{1, 0.2}}));
    selectors.push_back(selector("cacheblend", {{2, 0.4}}));
    selectors.push_back(selector("cacheblend", {{1, 0.5}, {2, 0.3}, {3, 0.1}}));
    selectors.push_back(query(0.2));
    selectors.push_back(query(0.2, QueryRank::kAttentionDeviation, 2));
    selectors.push_back(query(0.2, QueryRank::kAttention));

    const Vector none = reference_none().logits;
    for (size_t i = 0; i < selectors.size(); ++i) {
        SCOPED_TRACE("selector " + std::to_string(i) + ": " + std::string(selectors[i]->name()));
        const RecordingSelector recording(*selectors[i]);
        const PrefillReport report = composed(recording);
        std::vector<std::vector<int32_t>> kept;
        for (const auto& stage : recording.seen) kept.push_back(stage.kept);
        const RowsByLayer layers = active(recording.stages(), kept, report.blended_rows);
        EXPECT_LT(squared_error(logits(1), reference(layers).logits), kErrorMax);
        if (report.n_blended == 0) continue;
        // The comparison tells these rows from none, and from as many others.
        EXPECT_GT(squared_error(logits(1), none), kErrorTold);
        std::vector<int32_t> others;
        std::ranges::set_difference(passive_rows(), report.blended_rows,
                                    std::back_inserter(others));
        others.resize(std::min(others.size(), report.blended_rows.size()));
        if (others.empty() || !recording.stages().empty()) continue;
        EXPECT_GT(squared_error(logits(1), reference(active({}, {}, others)).logits), kErrorTold);
    }
}

TEST_P(AgainstReference, DeviationsAreThoseOfTheCheckLayer) {
    const ReferenceRows dense = dense_rows();
    for (const Deviation kind : {Deviation::kBoth, Deviation::kKeys, Deviation::kValues}) {
        for (const int32_t layer : {1, 3}) {
            const SelectorParams params{
                .policy = "cacheblend", .stages = {{layer, 0.5}}, .deviation = kind};
            const auto blend = make_selector(params, 4).value();
            const RecordingSelector recording(*blend);
            composed(recording);
            ASSERT_EQ(recording.seen.size(), 1u);
            const RecordingSelector::Stage& stage = recording.seen.front();
            ASSERT_EQ(stage.rows, passive_rows());
            EXPECT_EQ(stage.n_passive, 72);
            EXPECT_TRUE(stage.attention.empty());
            for (size_t i = 0; i < stage.rows.size(); ++i) {
                const double expected = deviation(dense, layer, stage.rows[i], kind);
                EXPECT_NEAR(stage.deviation[i], expected, 1e-4 + 0.02 * expected)
                    << "row " << stage.rows[i] << ", layer " << layer;
            }
        }
    }
}

TEST_P(AgainstReference, AttentionIsWhatTheQueryPaysOverTheBlocksAsTheyAre) {
    const ReferenceModel::Run run = reference_none();
    const auto by_attention = query(0.2, QueryRank::kAttention);
    const RecordingSelector recording(*by_attention);
    const PrefillReport report = composed(recording);
    ASSERT_EQ(recording.attention.size(), n_rows());
    EXPECT_EQ(report.n_probed, report.n_computed);
    for (size_t cell = 0; cell < n_rows(); ++cell) {
        double expected = 0;
        for (size_t row = n_rows() - 13; row < n_rows(); ++row) {
            expected += run.attention[row][cell];
        }
        EXPECT_NEAR(recording.attention[cell], expected, 1e-3 + 0.01 * expected) << cell;
    }
    // Every head of every layer shares out 1 a row.
    const double all = std::reduce(recording.attention.begin(), recording.attention.end(), 0.0);
    EXPECT_NEAR(all, 13 * 4 * model_->n_layer(), 0.1);

    const auto with_deviation = query(0.2, QueryRank::kAttentionDeviation, 2);
    const RecordingSelector staged(*with_deviation);
    composed(staged);
    const RecordingSelector::Stage& stage = staged.seen.at(0);
    for (size_t i = 0; i < stage.rows.size(); ++i) {
        EXPECT_EQ(stage.attention[i], recording.attention[static_cast<size_t>(stage.rows[i])]);
    }
}

TEST_P(AgainstReference, QueryMendsWhereAttentionTimesDeviationIsLargest) {
    const ReferenceModel::Run run = reference_none();
    const ReferenceRows dense = dense_rows();
    const auto chosen = query(0.25, QueryRank::kAttentionDeviation, 2);
    const PrefillReport report = composed(*chosen);
    EXPECT_EQ(report.n_blended, 18);
    const auto score = [&](int32_t row) {
        double attention = 0;
        for (size_t r = n_rows() - 13; r < n_rows(); ++r) {
            attention += run.attention[r][static_cast<size_t>(row)];
        }
        return attention * deviation(dense, 2, row, Deviation::kBoth);
    };
    double least_kept = INFINITY, most_left = 0;
    for (const int32_t row : passive_rows()) {
        const bool kept = std::ranges::binary_search(report.blended_rows, row);
        if (kept) least_kept = std::min(least_kept, score(row));
        if (!kept) most_left = std::max(most_left, score(row));
    }
    EXPECT_GT(least_kept, 0.98 * most_left) << "but for ties within half floats";
}

TEST_P(AgainstReference, RatioOneEqualsDense) {
    prefill_dense(0, prompt_->tokens());
    for (const auto& chosen :
         {query(1.0), query(1.0, QueryRank::kAttentionDeviation, 3),
          query(1.0, QueryRank::kAttention), selector("cacheblend", {{2, 1.0}})}) {
        EXPECT_EQ(composed(*chosen).n_blended, 72);
        EXPECT_LT(kl(0, 1), testing::kKlMax);
        const auto n = static_cast<int32_t>(n_rows());
        EXPECT_LT(testing::worst_error(*rows(1, 0, n), *rows(0, 0, n)), testing::kRowErrorMax);
    }
}

TEST_P(AgainstReference, NoRowsEqualsNone) {
    const auto nothing = query(1e-9, QueryRank::kAttention);
    const PrefillReport report = composed(*nothing);
    EXPECT_EQ(report.n_blended, 0);
    EXPECT_EQ(report.n_shifted, 72);
    EXPECT_EQ(report.n_computed, static_cast<int32_t>(n_rows()) - 72);
    EXPECT_LT(squared_error(logits(1), reference_none().logits), kErrorMax);
}

TEST_P(AgainstReference, AHigherRatioMendsTheSameRowsAndMore) {
    const auto with_ratio = [](int policy, double ratio) {
        switch (policy) {
            case 0: return selector("cacheblend", {{1, ratio}});
            case 1: return query(ratio);
            default: return query(ratio, QueryRank::kAttention);
        }
    };
    for (const int policy : {0, 1, 2}) {
        std::vector<int32_t> fewer;
        for (const double ratio : {0.05, 0.1, 0.35, 0.7, 1.0}) {
            const auto chosen = with_ratio(policy, ratio);
            const std::vector<int32_t> more = composed(*chosen).blended_rows;
            EXPECT_GT(more.size(), fewer.size());
            EXPECT_TRUE(std::ranges::includes(more, fewer)) << policy << ", " << ratio;
            fewer = more;
        }
    }
}

// What a row's chunk becomes in a prompt is decided by what stands in front of it.
TEST_P(AgainstReference, LaterTextChangesNoDeviation) {
    const auto blend = selector("cacheblend", {{2, 0.3}});
    const RecordingSelector first(*blend), second(*blend);
    composed(first);
    Prompt other({prompt_->tokens().begin(), prompt_->tokens().begin() + 5});
    for (const size_t i : {0, 1, 2}) other.chunk(*prompt_->blocks()[i].block);
    other.text(text(3)).chunk(random_chunk(22)).text(text(13));
    ASSERT_EQ(other.tokens().size(), n_rows());
    prefill(other.plan(2, &second));
    const auto& before = first.seen.at(0).deviation;
    const auto& after = second.seen.at(0).deviation;
    ASSERT_EQ(before.size(), 72u);
    EXPECT_TRUE(std::equal(before.begin(), before.begin() + 50, after.begin()));
    EXPECT_FALSE(std::equal(before.begin() + 50, before.end(), after.begin() + 50));

    Prompt asked({prompt_->tokens().begin(), prompt_->tokens().begin() + 5});
    for (const size_t i : {0, 1, 2}) asked.chunk(*prompt_->blocks()[i].block);
    asked.text({prompt_->tokens().begin() + 55, prompt_->tokens().begin() + 58});
    asked.chunk(*prompt_->blocks()[3].block).text(text(13));
    EXPECT_EQ(prefill(asked.plan(2, blend.get())).blended_rows, composed(*blend).blended_rows);
}

TEST_P(AgainstReference, ASecondQuestionIsProbedAnew) {
    const auto chosen = query(0.1, QueryRank::kAttention);
    const RecordingSelector recording(*chosen);
    composed(recording, 1);
    const std::vector<float> first = recording.attention;
    Prompt asked({prompt_->tokens().begin(), prompt_->tokens().begin() + 5});
    for (const size_t i : {0, 1, 2}) asked.chunk(*prompt_->blocks()[i].block);
    asked.text({prompt_->tokens().begin() + 55, prompt_->tokens().begin() + 58});
    asked.chunk(*prompt_->blocks()[3].block).text(text(13));
    prefill(asked.plan(1, &recording));
    EXPECT_NE(recording.attention, first);
    composed(recording, 1);
    EXPECT_EQ(recording.attention, first);
}

TEST_P(AgainstReference, OfALongQuestionTheEndAsks) {
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(30)).text(text(60));
    const auto chosen = query(0.1, QueryRank::kAttention);
    const RecordingSelector recording(*chosen);
    EXPECT_EQ(prefill(prompt.plan(0, &recording)).n_probed, 61);
    const double all = std::reduce(recording.attention.begin(), recording.attention.end(), 0.0);
    EXPECT_NEAR(all, 24 * 4 * model_->n_layer(), 0.1) << "a batch";
}

TEST_P(AgainstReference, SettledBlocksAndTailsUnderABlockAreProbedToo) {
    const KvBlock& chunk = random_chunk(20);
    Prompt prompt(engine_->sink_prefix());
    prompt.chunk(random_chunk(20), true).text(text(2)).chunk(random_chunk(10)).chunk(chunk);
    // The last row is computed although a block covers it, and is all the query there is.
    for (const auto rank : {QueryRank::kAttention, QueryRank::kAttentionDeviation}) {
        const auto chosen = query(0.5, rank);
        const PrefillReport report = prefill(prompt.plan(0, chosen.get()));
        EXPECT_EQ(report.n_blended, 15);
        EXPECT_GE(report.blended_rows.front(), 23);
        EXPECT_EQ(report.n_computed, 4);
        EXPECT_EQ(report.n_probed, 4);
    }
    Prompt settled(engine_->sink_prefix());
    settled.chunk(chunk, true).text(text(3));
    for (const auto rank : {QueryRank::kAttention, QueryRank::kAttentionDeviation}) {
        const auto chosen = query(0.5, rank);
        const PrefillReport report = prefill(settled.plan(0, chosen.get()));
        EXPECT_EQ(report.n_blended, 0);
        EXPECT_EQ(report.n_probed, 0);
    }
}

INSTANTIATE_TEST_SUITE_P(FusedPrefill, AgainstReference, ::testing::ValuesIn(kCases),
                         [](const auto& each) { return name_of(each.param); });

}  // namespace
}  // namespace spolia
