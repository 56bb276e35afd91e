#include "adapters/llama/llama_engine.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "tests/support/llama_engine_fixture.h"

namespace spolia {
namespace {

using testing::dense_plan;
using testing::LlamaEngineTest;
using testing::page_of;
using testing::Prompt;
using testing::tiny_engine_options;
using testing::tiny_model;

class Refusals : public LlamaEngineTest {
protected:
    void SetUp() override {
        open("llama");
        prefill_dense(0, text(20));
    }
    void expect_refused(const PrefillPlan& plan, ErrorCode code) {
        const auto report = engine_->prefill(plan, {});
        ASSERT_FALSE(report.ok());
        EXPECT_EQ(report.error().code, code) << report.error().message;
        EXPECT_EQ(page_of(*engine_, 0, 0, 1), nullptr) << "the sequence is not empty";
        prefill_dense(0, text(20));
    }
};

TEST_F(Refusals, OfPrompts) {
    const std::vector<Token> full = text(256), too_long = text(257), none;
    expect_refused(dense_plan(0, too_long), ErrorCode::kContextTooLong);
    expect_refused(dense_plan(0, none), ErrorCode::kInvalidArgument);
    for (const Token token : {-1, 1024, INT32_MAX}) {
        std::vector<Token> tokens = text(10);
        tokens[4] = token;
        expect_refused(dense_plan(0, tokens), ErrorCode::kInvalidArgument);
    }
    EXPECT_EQ(prefill_dense(0, full).n_computed, 256);
    const std::vector<DecodeItem> items = {{0, 400}};
    EXPECT_EQ(engine_->decode(items).error().code, ErrorCode::kContextTooLong);
}

TEST_F(Refusals, OfPlans) {
    const std::vector<Token> tokens = text(30);
    const KvBlock& chunk = random_chunk(10);
    const std::vector<PlacedBlock> outside = {{25, 0, 10, &chunk}},
                                   moved = {{1, 0, 10, &chunk, true}};
    expect_refused({.sequence = 0, .tokens = tokens, .blocks = outside},
                   ErrorCode::kInvalidArgument);
    expect_refused({.sequence = 0, .tokens = tokens, .blocks = moved}, ErrorCode::kInvalidArgument);
    for (const int32_t n_keep : {-1, 21, 30}) {
        PrefillPlan plan = dense_plan(0, tokens);
        plan.n_keep = n_keep;
        expect_refused(plan, ErrorCode::kInvalidArgument);
    }
    for (const int32_t sequence : {-1, 3}) {
        const auto report = engine_->prefill(dense_plan(sequence, tokens), {});
        ASSERT_FALSE(report.ok());
        EXPECT_EQ(report.error().code, ErrorCode::kInvalidArgument);
    }
}

TEST_F(Refusals, OfChunks) {
    for (const int32_t n : {0, 256, 300}) {
        const auto block = engine_->encode_isolated({}, text(n), {});
        ASSERT_FALSE(block.ok());
        EXPECT_EQ(block.error().code, ErrorCode::kInvalidArgument);
    }
    const std::vector<Token> unknown = {400, 5000};
    EXPECT_EQ(engine_->encode_isolated({}, unknown, {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(random_chunk(255).n_rows(), 255);
}

TEST_F(Refusals, OfPages) {
    EXPECT_EQ(page_of(*engine_, 0, 15, 6), nullptr);
    EXPECT_EQ(page_of(*engine_, 0, -1, 2), nullptr);
    EXPECT_EQ(page_of(*engine_, 1, 0, 1), nullptr);
    EXPECT_EQ(page_of(*engine_, 0, 0, 0), nullptr);
    EXPECT_EQ(page_of(*engine_, -1, 0, 1), nullptr);
    EXPECT_EQ(page_of(*engine_, 3, 0, 1), nullptr);
    EXPECT_NE(page_of(*engine_, 0, 15, 5), nullptr);
}

TEST_F(Refusals, OfContexts) {
    LlamaEngineOptions options = tiny_engine_options();
    options.n_ctx = INT32_MAX;
    const auto engine = LlamaEngine::create(tiny_model("llama"), options);
    ASSERT_FALSE(engine.ok());
    EXPECT_EQ(engine.error().code, ErrorCode::kOutOfMemory);
    const std::string expected = "3 sequences of " + std::to_string(INT32_MAX) + " rows";
    EXPECT_NE(engine.error().message.find(expected), std::string::npos) << engine.error().message;
    for (const auto& [n_ctx, n_sequences, n_batch_rows] :
         {std::tuple{63, 1, 16}, {256, 0, 16}, {256, 1, 0}, {-1, 1, 16}}) {
        options.n_ctx = n_ctx;
        options.n_sequences = n_sequences;
        options.n_batch_rows = n_batch_rows;
        const auto refused = LlamaEngine::create(tiny_model("llama"), options);
        ASSERT_FALSE(refused.ok());
        EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    }
}

}  // namespace
}  // namespace spolia
