// The guard at work: serving, shadows, demotion, recovery, what outlives the process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "broker/core/guard_file.h"
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

constexpr float kFar = 20;  // another first token, and a KL far over any budget
const int kEnough = static_cast<int>(Calibration::samples_needed({}));
constexpr const char* kRung = "epic:head_rows=4";

// Rows of a chunk that the plan's selector recomputes.
size_t n_picked(const PrefillPlan& plan) {
    if (plan.selector == nullptr) return 0;
    const PassiveSpan span{{10, 70}, false};
    return plan.selector->pick({{&span, 1}}).rows.size();
}

class GuardedServiceTest : public testing::Test {
protected:
    GuardedServiceTest() {
        core.options.reuse.fidelity = Fidelity::kGuarded;
        core.options.reuse_by_cost = false;
        core.control.divergence = [this](const PrefillPlan&) { return divergence.load(); };
    }

    // Two known chunks behind text that no other prompt begins with.
    GenerateRequest request() {
        ++n_requests_;
        GenerateRequest request = core.request({{kFixed, words(1000 + n_requests_, 12)},
                                                {kChunk, words(1, 60)},
                                                {kFixed, "<sep>"},
                                                {kChunk, words(2, 60)},
                                                {kQuery, words(5000 + n_requests_, 12)}},
                                               1, Fidelity::kGuarded);
        request.id = "request-" + std::to_string(n_requests_);
        return request;
    }
    Receipt serve() { return serve(request()); }
    Receipt serve(GenerateRequest request) {
        const auto run = core.run(std::move(request));
        return run.sink->receipt().value_or(Receipt());
    }
    Receipt serve_and_compare() {
        const Receipt receipt = serve();
        core.wait_idle();
        return receipt;
    }
    void open() {
        core.open();
        serve_and_compare();  // the chunks are seen for the first time
    }
    void calibrate() {
        for (int i = 0; i < kEnough; ++i) {
            ASSERT_NE(serve().fallback, "") << i;
            if (i % 20 == 19) core.wait_idle();
        }
        core.wait_idle();
    }
    RungState rung() {
        for (RungState& state : core.service().stats().guard) {
            if (state.label == kRung) return std::move(state);
        }
        return {};
    }
    std::filesystem::path file() {
        return guard_file(folder_.path, core.service().model().fingerprint);
    }
    void keep_on_disk() { core.options.store.directory = folder_.path; }

    const TestFolder folder_;  // goes after the service that writes into it
    std::atomic<float> divergence = 0;
    CoreHarness core;

private:
    uint32_t n_requests_ = 0;
};

TEST_F(GuardedServiceTest, RunsDenseUntilShadowsHaveShownEnough) {
    core.open();
    const Receipt first = serve_and_compare();
    EXPECT_EQ(first.fallback, "") << "nothing to compose, nothing to decide";
    EXPECT_EQ(first.misses.at(0).reason, "first_sight");
    for (int i = 0; i < kEnough; ++i) {
        const GenerateRequest dense = request();
        const auto run = core.run(dense);
        const Receipt receipt = run.sink->receipt().value();
        ASSERT_EQ(receipt.fallback, "uncalibrated") << i;
        ASSERT_EQ(receipt.n_shifted + receipt.n_blended, 0);
        ASSERT_EQ(receipt.rung, "");
        ASSERT_EQ(receipt.misses.at(0).reason, "uncalibrated");
        ASSERT_EQ(receipt.misses.at(0).n_tokens, 120);
        ASSERT_EQ(core.sampled(run), core.dense(dense));
        if (i % 20 == 19) core.wait_idle();
    }
    core.wait_idle();
    EXPECT_EQ(rung().n_samples, static_cast<size_t>(kEnough));
    EXPECT_EQ(rung().serves, GuardRegion::everything());

    const Receipt served = serve();
    EXPECT_EQ(served.fallback, "");
    EXPECT_EQ(served.policy, "epic");
    EXPECT_EQ(served.rung, kRung);
    EXPECT_EQ(served.fidelity, "guarded");
    EXPECT_EQ(served.n_shifted, 112);
    EXPECT_EQ(served.n_blended, 8);
    ASSERT_TRUE(served.predicted_kl);
    EXPECT_LT(*served.predicted_kl, 1e-6);
    EXPECT_FALSE(served.measured_kl);
}

TEST_F(GuardedServiceTest, TellsWhatAShadowMeasured) {
    divergence = 1;
    open();
    calibrate();
    const GenerateRequest one = request();
    const Receipt served = serve(one);
    ASSERT_EQ(served.rung, kRung);
    core.wait_idle();
    const Result<Receipt> later = core.service().receipt("", one.id);
    ASSERT_TRUE(later.ok()) << later.error().message;
    EXPECT_EQ(later->rung, kRung);
    EXPECT_EQ(later->n_shifted, served.n_shifted);
    ASSERT_TRUE(later->measured_kl);
    EXPECT_GT(*later->measured_kl, 1e-4);
    EXPECT_LT(*later->measured_kl, 0.05);
    EXPECT_NEAR(*later->measured_kl, *served.predicted_kl, 0.01);
    EXPECT_TRUE(later->measured_same_first);

    EXPECT_EQ(core.service().receipt("other", one.id).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(core.service().receipt("", "none").error().code, ErrorCode::kNotFound);
    const std::string metrics = core.service().metrics_text();
    EXPECT_THAT(metrics, HasSubstr("spolia_fallbacks_total{reason=\"uncalibrated\"} " +
                                   std::to_string(kEnough) + "\n"));
    // All by three rungs, but for the last one, which proved the first rung; and this request.
    const std::string n_compared = std::to_string(3 * kEnough - 2 + 1);
    EXPECT_THAT(metrics, HasSubstr("spolia_shadow_kl_count " + n_compared + "\n"));
    EXPECT_THAT(metrics,
                HasSubstr("spolia_shadows_total{result=\"compared\"} " + n_compared + "\n"));
    EXPECT_THAT(metrics, HasSubstr("spolia_guard_serves{rung=\"epic:head_rows=4\"} 1\n"));
    EXPECT_THAT(metrics, HasSubstr("spolia_guard_demotions_total 0\n"));
}

TEST_F(GuardedServiceTest, AnswersDoNotDependOnShadows) {
    divergence = kFar;
    core.engine_options.n_sequences = 1;
    open();
    for (int i = 0; i < 10; ++i) {
        GenerateRequest dense = request();
        dense.tokens_max = 12;
        const auto run = core.run(dense);
        EXPECT_EQ(core.sampled(run), core.dense(dense));
        if (i % 2 == 0) core.wait_idle();
    }
}

TEST_F(GuardedServiceTest, EachRequestHasItsOwnBudget) {
    divergence = 1;
    open();
    calibrate();
    EXPECT_EQ(serve().rung, kRung);
    GenerateRequest strict = request();
    strict.reuse.max_kl = 1e-6;
    EXPECT_EQ(serve(strict).fallback, "over_budget");
    strict = request();
    strict.reuse.min_agreement = 1;
    EXPECT_EQ(serve(strict).fallback, "over_budget") << "nothing proves that";
    EXPECT_EQ(serve().rung, kRung);
    GenerateRequest wrong = request();
    wrong.reuse.min_agreement = 2;
    const auto refused =
        core.service().submit(std::move(wrong), std::make_shared<test::RecordingSink>());
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(GuardedServiceTest, ComputesDenselyWhatItComposedWithTooMuchDoubt) {
    // Every fourth prompt leaves the model in doubt, and composing turns its choice.
    const auto doubtful = [](const PrefillPlan& plan) {
        return std::accumulate(plan.tokens.begin(), plan.tokens.end(), 0) % 4 == 0;
    };
    const CoreHarness::EndsFirst ends_first(core);
    core.control.certainty = [&](const PrefillPlan& plan) { return doubtful(plan) ? 0 : kFar; };
    core.control.divergence = [&](const PrefillPlan& plan) { return doubtful(plan) ? 2.5f : 0; };
    core.options.reuse.budget = {100, 0.99};
    open();
    int n_dense = 0;
    while (serve().rung != kRung) {
        ASSERT_LE(++n_dense, 2000) << "never calibrated";
        if (n_dense % 20 == 0) core.wait_idle();
    }
    core.wait_idle();
    EXPECT_GT(rung().serves.max_doubt, 0);
    EXPECT_LT(rung().serves.max_doubt, 0.5);
    int n_in_doubt = 0;
    for (int i = 0; i < 40; ++i) {
        const GenerateRequest one = request();
        const auto run = core.run(one);
        const Receipt receipt = run.sink->receipt().value();
        ASSERT_EQ(core.sampled(run), core.dense(one));
        if (receipt.fallback.empty()) {
            EXPECT_GT(receipt.n_shifted, 0);
            continue;
        }
        ++n_in_doubt;
        EXPECT_EQ(receipt.fallback, "in_doubt");
        EXPECT_EQ(receipt.misses.at(0).reason, "in_doubt");
        EXPECT_EQ(receipt.rung, "");
        EXPECT_EQ(receipt.n_shifted + receipt.n_blended, 0);
        core.wait_idle();
    }
    EXPECT_GT(n_in_doubt, 0);
    EXPECT_LT(n_in_doubt, 40);
}

TEST_F(GuardedServiceTest, AsksTheNextRungWhereOneLeavesDoubt) {
    // As selectors that need more than 4 rows a chunk for every other prompt.
    const auto doubtful = [](const PrefillPlan& plan) {
        const bool hard = std::accumulate(plan.tokens.begin(), plan.tokens.end(), 0) % 2 == 0;
        return hard && n_picked(plan) < 8;
    };
    const CoreHarness::EndsFirst ends_first(core);
    core.control.certainty = [&](const PrefillPlan& plan) { return doubtful(plan) ? 0 : kFar; };
    core.control.divergence = [&](const PrefillPlan& plan) { return doubtful(plan) ? 2.5f : 0; };
    core.options.reuse.budget = {100, 0.99};
    open();
    const std::string next = std::string(kRung) + " x2";
    int n_asked = 0;
    Receipt again;
    while (again.rung != next) {
        ASSERT_LE(++n_asked, 3000) << "never calibrated";
        if (n_asked % 20 == 0) core.wait_idle();
        if (serve().rung != next || rung().serves.empty()) continue;
        // The shadow that proved the first rung made the next one start anew: ask once settled.
        core.wait_idle();
        again = serve();
    }
    EXPECT_EQ(again.rung, next);
    EXPECT_EQ(again.fallback, "");
    EXPECT_EQ(again.n_blended, 2 * 8);
    EXPECT_EQ(again.n_shifted + again.n_blended, 120);
    EXPECT_GT(rung().serves.max_doubt, 0);
    EXPECT_LT(rung().serves.max_doubt, 0.5);
    core.wait_idle();
    EXPECT_EQ(core.service().stats().sequences_busy, 0);
}

TEST_F(GuardedServiceTest, TakesADearerRungWhereTheCheapOneIsNotGoodEnough) {
    // As a selector that needs more than 8 rows a chunk.
    core.control.divergence = [](const PrefillPlan& plan) {
        return n_picked(plan) < 16 ? kFar : 0;
    };
    open();
    calibrate();
    const Receipt served = serve();
    EXPECT_EQ(served.rung, "epic:head_rows=4 x4");
    EXPECT_EQ(served.n_blended, 32);
}

TEST_F(GuardedServiceTest, NoticesADivergenceThatRisesAndRecoversWhenItFalls) {
    open();
    calibrate();
    divergence = kFar;
    int n_served = 0;
    while (!rung().demoted) {
        EXPECT_EQ(serve_and_compare().rung, kRung);
        ASSERT_LE(++n_served, 12) << "not noticed";
    }
    EXPECT_EQ(n_served, 2) << "one bad answer may be an accident";
    EXPECT_EQ(rung().n_demotions, 1u);
    EXPECT_TRUE(rung().demoted);
    const Receipt demoted = serve_and_compare();
    EXPECT_EQ(demoted.fallback, "demoted");
    EXPECT_EQ(demoted.n_shifted, 0);

    divergence = 0;
    int n_dense = 0;
    while (serve().rung != kRung) {
        ASSERT_LE(++n_dense, 1000) << "does not recover";
        if (n_dense % 20 == 0) core.wait_idle();
    }
    EXPECT_GE(n_dense, kEnough);
    EXPECT_THAT(core.service().metrics_text(), HasSubstr("spolia_guard_demotions_total 1\n"));
}

TEST_F(GuardedServiceTest, NoticesADamagedBlockThatPassesEveryCheckAndMakesItAnew) {
    std::atomic<int64_t> damaged_until = 0;  // blocks encoded so far, or fewer, may be damaged
    const std::string first_chunk = words(1, 60);
    const CoreHarness::EndsFirst ends_first(core);
    core.control.divergence = [&](const PrefillPlan& plan) {
        for (const PlacedBlock& block : plan.blocks) {
            const bool is_first = block.block->meta().tokens.front() == first_chunk.front();
            if (is_first && core.control.n_encodes <= damaged_until) return kFar;
        }
        return 0.0f;
    };
    open();
    calibrate();
    ASSERT_EQ(core.control.n_encodes, 2);
    damaged_until = 2;
    for (int i = 0; !rung().demoted; ++i) {
        serve_and_compare();
        ASSERT_LE(i, 12) << "not noticed";
    }
    EXPECT_EQ(core.control.n_encodes, 4) << "both blocks are under suspicion";
    // Sound again.
    int n_dense = 0;
    while (serve().rung != kRung) {
        ASSERT_LE(++n_dense, 500) << "does not recover";
        if (n_dense % 20 == 0) core.wait_idle();
    }
    EXPECT_GE(n_dense, kEnough);
    EXPECT_EQ(rung().n_demotions, 1u);
}

TEST_F(GuardedServiceTest, CalibrationOutlivesTheProcess) {
    keep_on_disk();
    open();
    calibrate();
    core.reopen();
    EXPECT_EQ(serve().rung, kRung);
}

TEST_F(GuardedServiceTest, OtherSettingsAreCalibratedByThemselves) {
    keep_on_disk();
    open();
    calibrate();
    core.options.reuse.head_rows = 5;
    core.reopen();
    EXPECT_EQ(serve().fallback, "uncalibrated");
    core.options.reuse.head_rows = 4;
    core.reopen();
    EXPECT_EQ(serve().rung, kRung) << "what was learned is still there";
}

TEST_F(GuardedServiceTest, SetsAsideACalibrationThatItCannotTrust) {
    keep_on_disk();
    open();
    calibrate();
    core.options.shadow_time = 0;  // from here on nothing is learned, and nothing written
    core.reopen();
    const auto foreign = [&] {
        const auto records = read_guard_file(file(), core.service().model().fingerprint, {});
        return write_guard_file(file(), Key128{9, 9}, {}, records.value());
    };
    const auto flip_a_digit = [&]() -> Status {
        std::fstream bytes(file(), std::ios::in | std::ios::out | std::ios::binary);
        std::string text((std::istreambuf_iterator<char>(bytes)), {});
        const size_t at = text.rfind("true");
        bytes.seekp(static_cast<std::streamoff>(at + 5)).put(text[at + 5] == '7' ? '8' : '7');
        return {};
    };
    const auto cut_off = [&]() -> Status {
        std::filesystem::resize_file(file(), std::filesystem::file_size(file()) / 2);
        return {};
    };
    const std::string good = [&] {
        std::ifstream bytes(file(), std::ios::binary);
        return std::string((std::istreambuf_iterator<char>(bytes)), {});
    }();
    for (const std::function<Status()>& harm :
         {std::function<Status()>(foreign), std::function<Status()>(flip_a_digit),
          std::function<Status()>(cut_off)}) {
        std::ofstream(file(), std::ios::binary) << good;
        ASSERT_TRUE(harm());
        const std::filesystem::path path = file();
        core.reopen();
        EXPECT_EQ(serve().fallback, "uncalibrated");
        EXPECT_FALSE(std::filesystem::exists(path));
        EXPECT_TRUE(std::filesystem::exists(path.string() + ".set-aside"));
    }
}

TEST_F(GuardedServiceTest, NoticesACalibrationThatPromisesTooMuch) {
    keep_on_disk();
    divergence = kFar;
    open();
    RungRecord record{.label = kRung, .samples = {}};
    for (uint64_t i = 0; i < 500; ++i) record.samples.push_back({.risk = 1, .kl = 0, .prompt = i});
    const std::filesystem::path path = file();
    const Key128 model = core.service().model().fingerprint;
    ASSERT_TRUE(write_guard_file(path, model, {}, {record}));
    core.reopen();
    int n_served = 0;
    while (serve_and_compare().fallback.empty()) ASSERT_LE(++n_served, 12) << "not noticed";
    EXPECT_GT(n_served, 0);
    core.reopen();
    EXPECT_EQ(serve().fallback, "demoted") << "the bad promise does not come back";
}

TEST_F(GuardedServiceTest, ARequestThatWaitsEndsAShadow) {
    open();
    calibrate();
    // A dense shadow has more than one batch; the composed request has not.
    std::atomic<bool> armed = true;
    CoreHarness::Run second;
    const CoreHarness::EndsFirst ends_first(core);
    core.control.between_batches = [&](int) {
        if (armed.exchange(false)) second = core.submit(request(), second);
    };
    ASSERT_EQ(serve().rung, kRung);
    core.wait_idle();
    EXPECT_FALSE(armed);
    ASSERT_TRUE(second.sink->wait());
    EXPECT_EQ(second.sink->receipt()->rung, kRung);
    const std::string metrics = core.service().metrics_text();
    EXPECT_THAT(metrics, HasSubstr("spolia_shadows_total{result=\"cancelled\"} 1\n"));
    EXPECT_THAT(metrics, HasSubstr("spolia_shadows_total{result=\"compared\"} " +
                                   std::to_string(3 * kEnough - 2 + 2) + "\n"))
        << "both requests were compared in the end";
}

TEST_F(GuardedServiceTest, GivesUpAShadowThatIsAlwaysInTheWay) {
    open();
    calibrate();
    std::vector<CoreHarness::Run> others(20);
    std::atomic<size_t> n_others = 0;
    const CoreHarness::EndsFirst ends_first(core);
    core.control.between_batches = [&](int) {
        if (n_others >= others.size()) return;
        GenerateRequest other = core.request({{kQuery, "?"}}, 1, Fidelity::kExact);
        CoreHarness::Run& run = others[n_others++];
        run = core.submit(std::move(other), run);
    };
    ASSERT_EQ(serve().rung, kRung);
    core.wait_idle();
    EXPECT_EQ(n_others, 4u);
    EXPECT_THAT(core.service().metrics_text(),
                HasSubstr("spolia_shadows_total{result=\"dropped\"} 1\n"));
}

TEST_F(GuardedServiceTest, AShadowThatFailsDoesNoHarm) {
    open();
    calibrate();
    std::atomic<bool> armed = true;
    const CoreHarness::EndsFirst ends_first(core);
    core.control.between_batches = [&](int) {
        if (armed.exchange(false)) core.control.prefills_to_fail = 1;
    };
    ASSERT_EQ(serve_and_compare().rung, kRung);
    EXPECT_FALSE(armed);
    EXPECT_THAT(core.service().metrics_text(),
                HasSubstr("spolia_shadows_total{result=\"failed\"} 1\n"));
    EXPECT_EQ(core.service().stats().sequences_busy, 0);
    EXPECT_EQ(serve().rung, kRung);
}

TEST_F(GuardedServiceTest, AShadowThatFailsTeachesNothingAboutOtherRungs) {
    core.control.divergence = [](const PrefillPlan& plan) {
        return n_picked(plan) < 16 ? kFar : 0;
    };
    open();
    calibrate();
    const size_t n_samples = rung().n_samples;
    std::atomic<bool> armed = true;
    const CoreHarness::EndsFirst ends_first(core);
    core.control.between_batches = [&](int) {
        if (armed.exchange(false)) core.control.prefills_to_fail = 1;
    };
    // The cheaper rungs still learn, from the dense logits that a served request's shadow brings.
    ASSERT_EQ(serve_and_compare().rung, std::string(kRung) + " x4");
    EXPECT_FALSE(armed);
    EXPECT_EQ(rung().n_samples, n_samples);
    ASSERT_EQ(serve_and_compare().rung, std::string(kRung) + " x4");
    EXPECT_EQ(rung().n_samples, n_samples + 1);
}

TEST_F(GuardedServiceTest, AShadowWhoseBlocksAreGoneIsGivenUp) {
    core.open();
    const auto chunks = core.put("", "first", words(1, 60));
    ASSERT_TRUE(chunks.ok());
    ASSERT_EQ(chunks->size(), 1u);
    GenerateRequest one = request();
    one.tokens_max = 4;
    CoreHarness::Run run;
    // While it generates, no shadow runs.
    run.sink->when_text = [&] { core.service().delete_chunk("", chunks->front().key); };
    run = core.submit(std::move(one), run);
    ASSERT_TRUE(run.sink->wait());
    EXPECT_EQ(run.sink->receipt()->fallback, "uncalibrated");
    core.wait_idle();
    EXPECT_THAT(core.service().metrics_text(),
                HasSubstr("spolia_shadows_total{result=\"unavailable\"} 3\n"));
}

TEST_F(GuardedServiceTest, WithoutTimeForShadowsNothingIsEverCalibrated) {
    core.options.shadow_time = 0;
    open();
    for (int i = 0; i < 5; ++i) EXPECT_EQ(serve_and_compare().fallback, "uncalibrated");
    EXPECT_EQ(rung().n_samples, 0u);
}

TEST_F(GuardedServiceTest, OnlyAShareIsComparedOnceARungHasProvenItself) {
    core.options.shadow_share = 0;
    open();
    calibrate();
    for (int i = 0; i < 20; ++i) ASSERT_EQ(serve_and_compare().rung, kRung);
    EXPECT_EQ(rung().n_samples, static_cast<size_t>(kEnough) + 20) << "all of the first ones";
    for (int i = 0; i < 10; ++i) ASSERT_EQ(serve_and_compare().rung, kRung);
    EXPECT_EQ(rung().n_samples, static_cast<size_t>(kEnough) + 20);
}

TEST_F(GuardedServiceTest, APreviewSaysWhatTheGuardWouldSay) {
    open();
    const auto preview = [&] { return core.service().plan(request()).value(); };
    int n_refused = 0;
    for (const PlanPreview::Part& part : preview().parts)
        n_refused += part.reason == "uncalibrated";
    EXPECT_EQ(n_refused, 2);
    calibrate();
    EXPECT_EQ(preview().policy, "epic");
}

}  // namespace
}  // namespace spolia
