// Anchors at work: what agents leave for each other, and what outlives the process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/core_harness.h"
#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using test::CoreHarness;
using test::Part;
using test::TestFolder;
using test::words;
using testing::HasSubstr;

constexpr auto kFixed = SegmentRole::kFixed;
constexpr auto kChunk = SegmentRole::kChunk;
constexpr auto kQuery = SegmentRole::kQuery;
constexpr int32_t kAnswer = 10;  // tokens of an answer

class AnchorsTest : public testing::Test {
protected:
    AnchorsTest() {
        core.options.reuse.policy = "anchors";
        core.options.reuse_by_cost = false;
        core.options.encode_seen_chunks = false;
        core.options.capture_pages = false;
        core.engine_options.end_every = 0;
    }

    // An agent's instructions, then what it is given to read, then what it is to do.
    GenerateRequest agent(uint32_t n, const std::vector<std::string>& read, int32_t tokens = 4) {
        std::vector<Part> parts = {{kFixed, words(1000 + n, 20)}};
        for (const std::string& text : read) {
            parts.push_back({kChunk, text});
            parts.push_back({kFixed, "<sep>"});
        }
        parts.push_back({kQuery, words(2000 + n, 12)});
        return core.request(parts, tokens);
    }
    Receipt serve(GenerateRequest request) {
        const auto run = core.run(std::move(request));
        core.wait_idle();
        return run.sink->receipt().value_or(Receipt());
    }
    // What an agent says whose answer is cut into the tokens that it was sampled as.
    std::string answer_of(uint32_t& n, const std::vector<std::string>& read) {
        for (;; ++n) {
            const auto run = core.run(agent(n, read, kAnswer));
            core.wait_idle();
            const std::vector<Token> tokens = core.sampled(run);
            const auto is_text = [](Token token) {
                return token != '\n' && token != '\r' && token < 256;
            };
            if (!std::ranges::all_of(tokens, is_text)) continue;
            const auto is_letter = [](Token token) { return token > ' ' && token < 127; };
            if (!is_letter(tokens.front()) || !is_letter(tokens.back())) continue;
            return {tokens.begin(), tokens.end()};
        }
    }
    void keep_on_disk() { core.options.store.directory = folder_.path; }
    std::filesystem::path file() {
        return folder_.path / (core.service().model().fingerprint.hex() + ".anchors");
    }

    const TestFolder folder_;  // goes after the service that writes into it
    CoreHarness core;
};

const std::string kOne = words(1, 60), kTwo = words(2, 40), kThree = words(3, 50);

TEST_F(AnchorsTest, AnAgentTakesOverWhatAnotherOneRead) {
    core.open();
    const Receipt first = serve(agent(1, {kOne, kTwo}));
    EXPECT_EQ(first.policy, "dense");
    EXPECT_EQ(first.n_anchored, 0);
    const Receipt second = serve(agent(2, {kOne, kTwo}));
    EXPECT_EQ(second.policy, "anchors");
    EXPECT_EQ(second.n_anchored + second.n_blended, 100);
    EXPECT_EQ(second.n_shifted, 0);
    EXPECT_EQ(second.n_anchored + second.n_blended + second.n_computed + second.n_exact,
              second.n_prompt);
    EXPECT_TRUE(second.misses.empty());
    EXPECT_EQ(core.service().stats().anchors.anchors, 2u);
    EXPECT_THAT(core.service().metrics_text(), HasSubstr("spolia_anchors 2\n"));
}

TEST_F(AnchorsTest, WhatWasReadBehindOtherTextIsAnAnchorOfItsOwn) {
    core.open();
    serve(agent(1, {kOne, kTwo}));
    core.options.reuse.fidelity = Fidelity::kExact;
    GenerateRequest dense = agent(2, {kThree, kTwo});
    dense.reuse.fidelity = Fidelity::kExact;
    serve(dense);
    EXPECT_EQ(core.service().stats().anchors.anchors, 4u);
    const Receipt both = serve(agent(3, {kThree, kOne, kTwo}));
    EXPECT_EQ(both.n_anchored + both.n_blended, 150);
}

TEST_F(AnchorsTest, WhatHasMuchToForgetIsComputedOnce) {
    core.open();
    serve(agent(1, {kThree, kTwo, kOne}));
    const Receipt other = serve(agent(2, {kOne}));
    EXPECT_EQ(other.policy, "dense");
    EXPECT_EQ(other.misses.at(0).reason, "first_sight");
    EXPECT_EQ(serve(agent(3, {kOne})).policy, "anchors") << "as the second one left it";
}

TEST_F(AnchorsTest, OneAgentsOwnNoteInFrontIsNotMuch) {
    core.open();
    serve(agent(1, {kThree, kOne}));
    EXPECT_EQ(serve(agent(2, {kTwo, kOne})).policy, "anchors");
}

// The engine checks what is called settled.
TEST_F(AnchorsTest, DirectlyBehindTheSinkAnAnchorIsNotSettled) {
    core.open();
    serve(agent(1, {kOne}));
    const Receipt receipt = serve(core.request({{kChunk, kOne}, {kQuery, words(7, 12)}}, 4));
    EXPECT_EQ(receipt.policy, "anchors");
    EXPECT_EQ(receipt.n_anchored + receipt.n_blended, 60);
}

TEST_F(AnchorsTest, OtherPoliciesNeitherUseNorMakeThem) {
    core.open();
    GenerateRequest plain = agent(1, {kOne});
    plain.reuse.policy = "epic";
    serve(plain);
    EXPECT_EQ(core.service().stats().anchors.anchors, 0u);
    serve(agent(2, {kOne}));
    EXPECT_EQ(core.service().stats().anchors.anchors, 1u);
    plain = agent(3, {kOne});
    plain.reuse.policy = "epic";
    const Receipt receipt = serve(plain);
    EXPECT_EQ(receipt.policy, "dense");
    EXPECT_EQ(receipt.misses.at(0).reason, "first_sight");
}

TEST_F(AnchorsTest, AnExactRequestUsesNone) {
    core.open();
    serve(agent(1, {kOne}));
    GenerateRequest judge = agent(2, {kOne});
    judge.reuse.fidelity = Fidelity::kExact;
    const auto run = core.run(judge);
    EXPECT_EQ(core.sampled(run), core.dense(judge));
    EXPECT_EQ(run.sink->receipt()->n_anchored, 0);
}

TEST_F(AnchorsTest, TenantsShareNone) {
    core.open();
    serve(agent(1, {kOne, kTwo}));
    GenerateRequest other = agent(2, {kOne, kTwo});
    other.tenant = "other";
    EXPECT_EQ(serve(other).policy, "dense");
    other = agent(3, {kOne, kTwo});
    other.tenant = "other";
    EXPECT_EQ(serve(other).policy, "anchors") << "its own";
}

TEST_F(AnchorsTest, AnAnswerIsFoundWhereItIsRead) {
    core.open();
    uint32_t n = 1;
    const std::string answer = answer_of(n, {kOne});
    const Receipt reader = serve(agent(500, {kOne, answer}));
    EXPECT_EQ(reader.n_anchored + reader.n_blended, 60 + kAnswer);
    EXPECT_TRUE(reader.misses.empty());
}

TEST_F(AnchorsTest, AnswersOfAnswersAreKeptToSomeDepth) {
    core.open();
    uint32_t n = 1;
    std::vector<std::string> read = {kOne};
    serve(agent(900, read));
    // Each agent reads what the ones before said, composed of what they left.
    for (int32_t depth = 1; depth <= 5; ++depth) {
        read.push_back(answer_of(n, read));
        ++n;
    }
    const Receipt last = serve(agent(901, read));
    EXPECT_EQ(last.misses.size(), 1u);
    EXPECT_EQ(last.misses.at(0).reason, "first_sight");
    EXPECT_EQ(last.n_chunks, 6);
    EXPECT_EQ(last.n_chunks_hit, 4) << "not those of depth 4 and 5";
}

TEST_F(AnchorsTest, TheyOutliveTheProcess) {
    keep_on_disk();
    core.open();
    serve(agent(1, {kOne, kTwo}));
    core.reopen();
    EXPECT_EQ(core.service().stats().anchors.anchors, 2u);
    EXPECT_EQ(serve(agent(2, {kOne, kTwo})).policy, "anchors");
}

TEST_F(AnchorsTest, AnAnchorWhoseRowsAreGoneIsPassedOver) {
    keep_on_disk();
    core.open();
    serve(agent(1, {kOne, kTwo}));
    core.options.store.directory = folder_.path / "other";
    std::filesystem::create_directories(core.options.store.directory);
    const std::filesystem::path from = file();
    core.reopen();
    const std::filesystem::path to = core.options.store.directory / from.filename();
    std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
    core.reopen();
    ASSERT_EQ(core.service().stats().anchors.anchors, 2u);
    const Receipt receipt = serve(agent(2, {kOne, kTwo}));
    EXPECT_EQ(receipt.policy, "dense");
    EXPECT_EQ(receipt.misses.at(0).reason, "first_sight");
    EXPECT_EQ(serve(agent(3, {kOne, kTwo})).policy, "anchors") << "made anew";
}

TEST_F(AnchorsTest, ACrashLosesWhatTheIndexHadNotYet) {
    const std::filesystem::path whole = folder_.path / "whole", crashed = folder_.path / "crashed";
    const auto index_in = [this](const std::filesystem::path& folder) {
        return folder / (core.service().model().fingerprint.hex() + ".anchors");
    };
    core.options.store.directory = whole;
    core.open();
    serve(agent(1, {kOne}));
    core.reopen();
    const std::filesystem::path before = folder_.path / "before";
    std::filesystem::copy_file(index_in(whole), before);
    serve(agent(2, {kOne, kTwo}));
    core.reopen();
    ASSERT_EQ(core.service().stats().anchors.anchors, 2u);
    // As if the process had ended between writing the rows and the index of them.
    std::filesystem::copy(whole, crashed, std::filesystem::copy_options::recursive);
    std::filesystem::copy_file(before, index_in(crashed),
                               std::filesystem::copy_options::overwrite_existing);
    core.options.store.directory = crashed;
    core.reopen();
    EXPECT_EQ(core.service().stats().anchors.anchors, 1u);
    const Receipt receipt = serve(agent(3, {kOne, kTwo}));
    EXPECT_EQ(receipt.n_anchored + receipt.n_blended, 60);
    EXPECT_EQ(receipt.misses.at(0).reason, "first_sight");
    EXPECT_EQ(serve(agent(4, {kOne, kTwo})).misses.size(), 0u) << "made anew";
}

TEST_F(AnchorsTest, ADamagedFileIsSetAside) {
    keep_on_disk();
    core.open();
    serve(agent(1, {kOne, kTwo}));
    const std::filesystem::path path = file();
    core.options.reuse.policy = "anchors";
    core.reopen();
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 5);
    // Closing writes only what is new.
    core.reopen();
    EXPECT_EQ(core.service().stats().anchors.anchors, 0u);
    EXPECT_TRUE(std::filesystem::exists(path.string() + ".set-aside"));
    EXPECT_EQ(serve(agent(2, {kOne, kTwo})).policy, "dense");
    EXPECT_EQ(serve(agent(3, {kOne, kTwo})).policy, "anchors");
}

TEST_F(AnchorsTest, TheBudgetIsKept) {
    core.options.anchors.bytes_max = 1 << 14;
    core.open();
    for (uint32_t i = 0; i < 30; ++i) {
        serve(agent(i, {words(100 + i, 60), words(200 + i, 60)}));
        ASSERT_LE(core.service().stats().anchors.bytes, uint64_t{1} << 14);
    }
    EXPECT_GT(core.service().stats().anchors.evictions, 0u);
}

TEST_F(AnchorsTest, UnderGuardTheyAreRungsOfTheirOwn) {
    core.options.reuse.fidelity = Fidelity::kGuarded;
    core.open();
    const auto guarded = [this](uint32_t n) {
        GenerateRequest request = agent(n, {kOne, kTwo});
        request.reuse.fidelity = Fidelity::kGuarded;
        return request;
    };
    serve(guarded(1));
    const Receipt receipt = serve(guarded(2));
    EXPECT_EQ(receipt.fallback, "uncalibrated");
    EXPECT_EQ(receipt.policy, "dense");
    bool learns = false;
    for (const RungState& rung : core.service().stats().guard) {
        learns = learns || (rung.label.starts_with("anchors adaptive") && rung.n_samples == 1);
    }
    EXPECT_TRUE(learns);
}

TEST_F(AnchorsTest, UnderGuardAShadowMakesGoodWhatWasApproximate) {
    core.options.reuse.fidelity = Fidelity::kGuarded;
    core.options.shadow_share = 1;
    core.control.divergence = [](const PrefillPlan&) { return 0.f; };
    core.open();
    uint32_t n = 0;
    const auto guarded = [&](const std::vector<std::string>& read) {
        GenerateRequest request = agent(++n, read, 1);
        request.reuse.fidelity = Fidelity::kGuarded;
        return serve(request);
    };
    const auto n_taken = [](const Receipt& receipt) {
        return receipt.n_anchored + receipt.n_blended;
    };
    for (size_t i = 0; i <= Calibration::samples_needed({}); ++i) guarded({kOne, kTwo});
    ASSERT_EQ(n_taken(guarded({kOne, kTwo})), 100);
    // Computed behind composed rows, then densely by the shadow.
    const Receipt first = guarded({kOne, kTwo, kThree});
    EXPECT_EQ(n_taken(first), 100);
    EXPECT_EQ(first.misses.at(0).reason, "first_sight");
    EXPECT_EQ(n_taken(guarded({kOne, kTwo, kThree})), 150);
}

TEST_F(AnchorsTest, AChunkOfOtherTokensIsComputed) {
    core.open();
    serve(agent(1, {kOne, kTwo}));
    std::string almost = kTwo;
    almost[20] = almost[20] == 'x' ? 'y' : 'x';
    for (const std::string& other : {almost, std::string("\xd0\xb4\xd0\xb0") + words(9, 40)}) {
        GenerateRequest request = agent(2, {kOne, other});
        const Receipt receipt = serve(request);
        EXPECT_EQ(receipt.n_anchored + receipt.n_blended, 60);
        EXPECT_EQ(receipt.misses.at(0).reason, "first_sight");
    }
}

}  // namespace
}  // namespace spolia
