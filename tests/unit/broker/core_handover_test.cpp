// Prompts whose rows are wanted by another server: Handover, GenerateSink::on_rows().
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/core_harness.h"

namespace spolia {
namespace {

using test::CoreHarness;
using test::FakeEngine;
using test::Part;
using test::RecordingSink;
using test::words;

// Keeps the states of the rows that it is handed.
class RowKeeper final : public GenerateSink {
public:
    void on_rows(const RowSource& rows) override {
        ++n_handed;
        const auto n_rows = static_cast<size_t>(rows.n_rows());
        std::vector<uint16_t> k(n_rows * dims.first), v(n_rows * dims.second);
        EXPECT_TRUE(rows.copy(0, 0, k, v).ok());
        for (size_t row = 0; row < n_rows; ++row) {
            FakeEngine::State state = 0;
            std::memcpy(&state, k.data() + row * dims.first, sizeof state);
            states.push_back(state);
        }
        EXPECT_FALSE(inner.receipt()) << "rows come before the start";
    }
    void on_start(const Receipt& receipt) override { inner.on_start(receipt); }
    void on_text(std::string text, Token token) override { inner.on_text(std::move(text), token); }
    void on_done(const GenerateOutcome& outcome) override { inner.on_done(outcome); }
    void on_error(const Error& error) override { inner.on_error(error); }

    std::pair<size_t, size_t> dims;
    std::vector<FakeEngine::State> states;
    int n_handed = 0;
    RecordingSink inner;
};

class CoreHandover : public testing::Test {
protected:
    std::vector<Part> parts(uint32_t first, uint32_t second, uint32_t question) {
        return {{SegmentRole::kChunk, words(first, 60)},
                {SegmentRole::kFixed, "<sep>"},
                {SegmentRole::kChunk, words(second, 60)},
                {SegmentRole::kQuery, words(question, 12)}};
    }

    std::shared_ptr<RowKeeper> hand_over(GenerateRequest request, const Handover& handover) {
        request.handover = handover;
        auto keeper = std::make_shared<RowKeeper>();
        const KvLayout& kv = core.service().model().kv;
        keeper->dims = {kv.k_dim, kv.v_dim};
        EXPECT_TRUE(core.service().submit(std::move(request), keeper).ok());
        EXPECT_TRUE(keeper->inner.wait());
        EXPECT_EQ(keeper->inner.misplaced_events(), 0);
        return keeper;
    }

    CoreHarness core;
};

TEST_F(CoreHandover, GivesTheRowsAndNoAnswer) {
    core.open();
    const GenerateRequest request = core.request(parts(1, 2, 3));
    const auto keeper = hand_over(request, {.elsewhere_ms = {}, .always = true});
    EXPECT_EQ(keeper->n_handed, 1);
    EXPECT_EQ(keeper->states, FakeEngine::dense_states(request.prompt.tokens));
    EXPECT_EQ(keeper->inner.text(), "");
    EXPECT_EQ(keeper->inner.outcome()->n_generated, 0);
    EXPECT_EQ(core.control.n_decodes, 0);
}

TEST_F(CoreHandover, DeclinesWhatItKnowsNothingOf) {
    core.open();
    const GenerateRequest request = core.request(parts(1, 2, 3));
    const auto keeper = hand_over(request, {});
    EXPECT_EQ(keeper->n_handed, 0);
    EXPECT_EQ(core.control.n_prefills, 0);
    const GenerateOutcome outcome = *keeper->inner.outcome();
    EXPECT_EQ(outcome.finish, FinishReason::kDeclined);
    EXPECT_EQ(outcome.receipt.n_computed, static_cast<int32_t>(request.prompt.tokens.size()));
    EXPECT_EQ(test::n_accounted(outcome.receipt), outcome.receipt.n_prompt);
    ASSERT_EQ(outcome.receipt.misses.size(), 1);
    EXPECT_EQ(outcome.receipt.misses[0].reason, "first_sight");
}

TEST_F(CoreHandover, ComposesWhatItLearnedFromWhatItDeclined) {
    core.open();
    hand_over(core.request(parts(1, 2, 3)), {});
    core.wait_idle();
    EXPECT_EQ(core.control.n_encodes, 2);
    const auto keeper = hand_over(core.request(parts(2, 1, 4)), {});
    EXPECT_EQ(keeper->n_handed, 1);
    const Receipt receipt = *keeper->inner.receipt();
    EXPECT_EQ(receipt.n_shifted + receipt.n_blended, 120);
}

TEST_F(CoreHandover, LeavesToTheOtherServerWhatItComputesFaster) {
    core.open();
    ASSERT_TRUE(core.put("", "a", words(1, 60)).ok());
    ASSERT_TRUE(core.put("", "b", words(2, 60)).ok());
    // The cost model knows what rows take once it has seen some.
    core.run(core.request(parts(5, 6, 7)));
    core.run(core.request(parts(8, 9, 7)));
    core.wait_idle();
    const auto fast = hand_over(core.request(parts(2, 1, 4)), {.elsewhere_ms = 1e-3});
    EXPECT_EQ(fast->inner.outcome()->finish, FinishReason::kDeclined);
    const auto slow = hand_over(core.request(parts(2, 1, 4)), {.elsewhere_ms = 1e9});
    EXPECT_EQ(slow->n_handed, 1);
}

TEST_F(CoreHandover, LeavesSequencesForOthers) {
    core.engine_options.n_sequences = 1;
    core.open();
    hand_over(core.request(parts(1, 2, 3)), {});
    hand_over(core.request(parts(1, 2, 3)), {.elsewhere_ms = {}, .always = true});
    core.wait_idle();
    EXPECT_EQ(core.service().stats().sequences_busy, 0);
    EXPECT_TRUE(core.run(core.request(parts(1, 2, 3))).sink->outcome());
}

// While another process generates, background work keeps to its share, and goes on once it ends.
TEST_F(CoreHandover, WaitsForWhatIsBusyElsewhere) {
    std::atomic<bool> busy = true;
    core.options.busy_elsewhere = [&] { return busy.load(); };
    core.options.background_share = 1e-6;
    const CoreHarness::EndsFirst ends_first(core);
    core.open();
    hand_over(core.request(parts(1, 2, 3)), {});
    // The first step is on credit; the second has to wait for hours.
    while (core.control.n_encodes == 0) std::this_thread::yield();
    hand_over(core.request(parts(5, 6, 7)), {});
    EXPECT_LT(core.control.n_encodes, 4);
    busy = false;
    core.wait_idle();
    EXPECT_EQ(core.control.n_encodes, 4);
}

}  // namespace
}  // namespace spolia
