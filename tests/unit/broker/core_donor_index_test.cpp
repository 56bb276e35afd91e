#include "broker/core/donor_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/core_harness.h"
#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using test::CoreHarness;
using test::Part;
using test::words;

constexpr auto kFixed = SegmentRole::kFixed;
constexpr auto kChunk = SegmentRole::kChunk;
constexpr auto kQuery = SegmentRole::kQuery;

// A service whose prompts name chunks in ever other versions.
class DonorsTest : public testing::Test {
protected:
    DonorsTest() {
        core.options.reuse.policy = "epic";
        core.options.reuse_by_cost = false;
        core.options.capture_pages = false;
    }

    GenerateRequest request(const std::vector<std::string>& chunks) {
        std::vector<Part> parts = {{kFixed, words(1000 + ++n_, 20)}};
        for (const std::string& chunk : chunks) {
            parts.push_back({kChunk, chunk});
            parts.push_back({kFixed, "<sep>"});
        }
        parts.push_back({kQuery, words(2000 + n_, 12)});
        return core.request(parts, 2);
    }
    Receipt serve(GenerateRequest request) {
        const auto run = core.run(std::move(request));
        core.wait_idle();
        return run.sink->receipt().value_or(Receipt());
    }

    static std::string edited(const std::string& text, size_t at) {
        return text.substr(0, at) + (text[at] == 'x' ? 'y' : 'x') + text.substr(at + 1);
    }

    CoreHarness core;

private:
    uint32_t n_ = 0;
};

const std::string kOne = words(1, 80), kTwo = words(2, 60);

TEST_F(DonorsTest, AnEditedChunkTakesWhatIsEqual) {
    core.open();
    serve(request({kOne}));
    const Receipt first = serve(request({edited(kOne, 40)}));
    EXPECT_EQ(first.n_donor + first.n_blended, 79);
    EXPECT_EQ(first.n_shifted, 0);
    EXPECT_EQ(first.policy, "epic");
    ASSERT_EQ(first.misses.size(), 1u);
    EXPECT_EQ(first.misses[0].reason, "edited");
    EXPECT_EQ(first.misses[0].n_tokens, 1);
    EXPECT_EQ(first.n_exact + first.n_donor + first.n_blended + first.n_computed, first.n_prompt);
    const Receipt second = serve(request({edited(kOne, 40)}));
    EXPECT_EQ(second.n_donor, 0) << "encoded meanwhile, as it is";
    EXPECT_EQ(second.n_shifted + second.n_blended, 80);
}

TEST_F(DonorsTest, NothingIsTakenFromAnUnlikeText) {
    core.open();
    serve(request({kOne}));
    const Receipt receipt = serve(request({kTwo}));
    EXPECT_EQ(receipt.policy, "dense");
    EXPECT_EQ(receipt.misses.at(0).reason, "first_sight");
}

TEST_F(DonorsTest, TheNearestVersionIsTaken) {
    core.open();
    serve(request({kOne}));
    const std::string second = edited(edited(kOne, 20), 50);
    serve(request({second}));
    const Receipt receipt = serve(request({edited(second, 70)}));
    EXPECT_EQ(receipt.n_donor + receipt.n_blended, 79);
}

TEST_F(DonorsTest, TenantsShareNone) {
    core.open();
    serve(request({kOne}));
    GenerateRequest other = request({edited(kOne, 40)});
    other.tenant = "other";
    EXPECT_EQ(serve(other).policy, "dense");
    other = request({edited(kOne, 41)});
    other.tenant = "other";
    const Receipt own = serve(other);
    EXPECT_EQ(own.n_donor + own.n_blended, 78);
}

TEST_F(DonorsTest, AnExactRequestTakesNone) {
    core.open();
    serve(request({kOne}));
    GenerateRequest exact = request({edited(kOne, 40)});
    exact.reuse.fidelity = Fidelity::kExact;
    const auto run = core.run(exact);
    EXPECT_EQ(core.sampled(run), core.dense(exact));
    EXPECT_EQ(run.sink->receipt()->n_donor, 0);
}

// A guard that has proven its rungs goes on serving the chunks that are known as they are.
TEST_F(DonorsTest, AGuardedRequestComputesWhatWasEdited) {
    core.options.reuse.fidelity = Fidelity::kGuarded;
    core.options.shadow_share = 1;
    core.control.divergence = [](const PrefillPlan&) { return 0.f; };
    core.open();
    const auto guarded = [this](const std::vector<std::string>& texts) {
        GenerateRequest one = request(texts);
        one.reuse.fidelity = Fidelity::kGuarded;
        return serve(one);
    };
    for (size_t i = 0; i <= Calibration::samples_needed({}); ++i) guarded({kOne, kTwo});
    const Receipt receipt = guarded({kOne, edited(kTwo, 30)});
    EXPECT_EQ(receipt.n_donor, 0);
    EXPECT_EQ(receipt.n_shifted + receipt.n_blended, 80);
    EXPECT_EQ(receipt.fallback, "");
}

TEST_F(DonorsTest, ARegisteredChunkIsADonor) {
    core.options.encode_seen_chunks = false;
    core.open();
    core.wait_idle();
    ASSERT_TRUE(core.put("", "one", kOne));
    const Receipt receipt = serve(request({edited(kOne, 40)}));
    EXPECT_EQ(receipt.n_donor + receipt.n_blended, 79);
}

TEST_F(DonorsTest, TheyCanBeTurnedOff) {
    core.options.donors.enabled = false;
    core.open();
    serve(request({kOne}));
    EXPECT_EQ(serve(request({edited(kOne, 40)})).policy, "dense");
}

TEST_F(DonorsTest, OnlySoManyTextsAreKnown) {
    core.options.donors.texts_max = 2;
    core.open();
    serve(request({kOne}));
    serve(request({kTwo}));
    serve(request({words(3, 60)}));
    EXPECT_EQ(serve(request({edited(kOne, 40)})).n_donor, 0);
    EXPECT_GT(serve(request({edited(words(3, 60), 30)})).n_donor, 0);
}

TEST_F(DonorsTest, ARestartForgetsNoTenantsDonors) {
    const test::TestFolder folder;
    core.options.store.directory = folder.path;
    core.open();
    const auto serve_for = [this](const std::string& tenant, const std::string& text) {
        GenerateRequest one = request({text});
        one.tenant = tenant;
        return serve(one);
    };
    serve_for("", kOne);
    serve_for("a", kTwo);
    const auto end_and_damage = [&] {
        { const CoreHarness::EndsFirst end(core); }
        for (const auto& entry : std::filesystem::directory_iterator(folder.path)) {
            if (entry.path().extension() == ".donors") std::filesystem::resize_file(entry, 99);
        }
    };
    for (const bool damaged : {false, true}) {
        if (damaged) end_and_damage();
        core.reopen();
        core.wait_idle();
        EXPECT_EQ(core.service().stats().donors.texts, damaged ? 5u : 2u);
        const size_t at = damaged ? 31 : 41;
        EXPECT_EQ(serve_for(damaged ? "b" : "c", edited(kOne, at)).policy, "dense");
        Receipt receipt = serve_for("", edited(kOne, at));
        EXPECT_EQ(receipt.n_donor + receipt.n_blended, 79);
        receipt = serve_for("a", edited(kTwo, at));
        EXPECT_EQ(receipt.n_donor + receipt.n_blended, 59);
    }
}

}  // namespace
}  // namespace spolia
