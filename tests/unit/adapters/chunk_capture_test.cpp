// Rows of a chunk as they came out behind other text, which anchors are made of.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/support/llama_engine_fixture.h"

namespace spolia {
namespace {

using testing::EngineCase;
using testing::kCases;
using testing::kKlMax;
using testing::kRowErrorMax;
using testing::LlamaEngineTest;
using testing::name_of;
using testing::Prompt;
using testing::selector;
using testing::worst_error;

// What is meant to be told apart is at least this far.
constexpr double kErrorTold = 1e-3;

// An agent that has read an input and a message, all of it computed.
class ChunkCapture : public LlamaEngineTest, public ::testing::WithParamInterface<EngineCase> {
protected:
    void SetUp() override {
        open(GetParam().architecture, GetParam().attention, 24);
        Prompt prompt(engine_->sink_prefix());
        prompt.text(text(13));
        input_begin_ = static_cast<int32_t>(prompt.tokens().size());
        prompt.text(input_).text(text(2));
        message_begin_ = static_cast<int32_t>(prompt.tokens().size());
        prompt.text(message_).text(text(9));
        tokens_ = prompt.tokens();
        prefill_dense(0, tokens_);
    }

    const KvBlock& capture(int32_t sequence, int32_t begin, const std::vector<Token>& chunk) {
        auto block = engine_->capture({.sequence = sequence,
                                       .begin = begin,
                                       .key = {},
                                       .left_context = {},
                                       .provenance = Provenance::kContextual,
                                       .tokens = chunk});
        EXPECT_TRUE(block.ok()) << (block.ok() ? "" : block.error().message);
        return *blocks_.emplace_back(std::move(block).value());
    }

    const std::vector<Token> input_ = text(41), message_ = text(30);
    std::vector<Token> tokens_;
    int32_t input_begin_ = 0, message_begin_ = 0;
};

TEST_P(ChunkCapture, InTheirOwnPlaceTheyAreDenseRows) {
    const KvBlock& input = capture(0, input_begin_, input_);
    const KvBlock& message = capture(0, message_begin_, message_);
    EXPECT_EQ(message.meta().provenance, Provenance::kContextual);
    EXPECT_EQ(message.meta().frame_row, 0);
    Prompt prompt(std::initializer_list<Token>{});
    const auto between = [this](int32_t begin, int32_t end) {
        return std::vector<Token>(tokens_.begin() + begin, tokens_.begin() + end);
    };
    prompt.text(between(0, input_begin_)).chunk(input);
    prompt.text(between(input_begin_ + input.n_rows(), message_begin_)).chunk(message);
    prompt.text(between(message_begin_ + message.n_rows(), static_cast<int32_t>(tokens_.size())));
    ASSERT_EQ(prompt.tokens(), tokens_);
    const auto none = selector("none");
    EXPECT_EQ(prefill(prompt.plan(1, none.get())).n_shifted, input.n_rows() + message.n_rows());
    const auto n_rows = static_cast<int32_t>(tokens_.size());
    EXPECT_LE(worst_error(*rows(1, 0, n_rows), *rows(0, 0, n_rows)), kRowErrorMax);
    EXPECT_LE(kl(0, 1), kKlMax);
    expect_same_continuation(0, 1);
}

TEST_P(ChunkCapture, TheyAreTheSameWhereverTheyWereCapturedFrom) {
    const KvBlock& message = capture(0, message_begin_, message_);
    Prompt prompt(engine_->sink_prefix());
    prompt.text(text(101));
    const auto begin = static_cast<int32_t>(prompt.tokens().size());
    prompt.chunk(message).text(text(5));
    const auto none = selector("none");
    prefill(prompt.plan(1, none.get()));
    const KvBlock& again = capture(1, begin, message_);
    EXPECT_LE(worst_error(again, message), kRowErrorMax);
    for (int32_t layer = 0; layer < message.meta().layout.n_layer; ++layer) {
        EXPECT_TRUE(std::ranges::equal(again.v(layer), message.v(layer))) << "layer " << layer;
    }
}

TEST_P(ChunkCapture, TheFirstLayerKnowsNoContext) {
    const KvBlock& behind = capture(0, message_begin_, message_);
    const KvBlock& alone = encode(message_);
    EXPECT_LE(worst_error(behind, alone, 0, 1), kRowErrorMax);
    EXPECT_GE(worst_error(behind, alone, 1), kErrorTold);
}

INSTANTIATE_TEST_SUITE_P(LlamaEngine, ChunkCapture, ::testing::ValuesIn(kCases),
                         [](const auto& each) { return name_of(each.param); });

}  // namespace
}  // namespace spolia
