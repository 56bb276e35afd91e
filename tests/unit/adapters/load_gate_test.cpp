#include "adapters/llama/load_gate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/support/tiny_models.h"

namespace spolia {
namespace {

using testing::random_tokens;
using testing::tiny_model;
using testing::TinyContext;

TEST(KlDivergence, OfKnownDistributions) {
    const std::vector<float> even = {0.0f, 0.0f};
    const std::vector<float> three_to_one = {std::log(3.0f), 0.0f};
    EXPECT_NEAR(kl_divergence(even, even), 0.0, 1e-12);
    EXPECT_NEAR(kl_divergence(even, three_to_one), 0.5 * std::log(0.5 / 0.75) + 0.5 * std::log(2.0),
                1e-7);
    EXPECT_NEAR(kl_divergence(three_to_one, even), 0.75 * std::log(1.5) + 0.25 * std::log(0.5),
                1e-7);
}

TEST(KlDivergence, IgnoresAnOffsetAndTakesLargeLogits) {
    const std::vector<float> p = {1.0f, -2.0f, 0.5f}, shifted = {1001.0f, 998.0f, 1000.5f};
    EXPECT_NEAR(kl_divergence(p, shifted), 0.0, 1e-9);
    const std::vector<float> far = {-1000.0f, 1000.0f, 0.0f};
    EXPECT_NEAR(kl_divergence(far, p),
                1000.0 - 1000.0 + std::log(std::exp(3.0) + 1 + std::exp(2.5)), 1e-5);
}

class LoadGateTest : public ::testing::Test {
protected:
    TinyContext context_{tiny_model("granite"), 2, 256};
    std::mt19937 generator_{70};
    std::vector<Token> tokens_ = random_tokens(generator_, 20);
    std::vector<Token> sink_ = {1};
    bool rounded_ = false;
    GateReport report_;

    Status run(const RopeSpec& rope) {
        return run_load_gate(*context_.cache, rope, tokens_, sink_, nullptr, nullptr, rounded_,
                             report_);
    }
};

TEST_F(LoadGateTest, LetsTheModelsOwnRotationPass) {
    EXPECT_TRUE(run(context_.rope.spec).ok());
    EXPECT_EQ(context_.cache->n_rows(0), 0);
}

TEST_F(LoadGateTest, RefusesOtherRotations) {
    RopeSpec slower = context_.rope.spec, other_pairs = context_.rope.spec,
             none = context_.rope.spec;
    for (double& frequency : slower.inv_freq) frequency *= 0.99;
    other_pairs.pairs = RopePairs::kNeox;
    none.pairs = RopePairs::kNone;
    for (const RopeSpec& rope : {slower, other_pairs, none, slower, other_pairs, none}) {
        report_ = {};
        rounded_ = !rounded_;
        const Status status = run(rope);
        ASSERT_FALSE(status.ok());
        EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
        EXPECT_GT(report_.rotation_error, kGateRotationErrorMax);
    }
}

TEST_F(LoadGateTest, RefusesRotationsThatAreNoNumbers) {
    RopeSpec rope = context_.rope.spec;
    rope.inv_freq[0] = NAN;
    EXPECT_FALSE(run(rope).ok());
}

TEST(LoadGateOfAnEngine, TakesDeepQuantisedModels) {
    RandomModelShape shape = tiny_model_shape("qwen3");
    shape.n_layer = 48;
    shape.quantised = true;
    const auto engine = testing::make_engine(tiny_model(shape));
    ASSERT_NE(engine, nullptr);
    EXPECT_EQ(engine->info().support, ReuseSupport::kFused) << engine->info().support_reason;
    EXPECT_LT(engine->gate().rotation_error, 1e-5);
    EXPECT_GT(engine->gate().block_error, 1e-5);
}

}  // namespace
}  // namespace spolia
