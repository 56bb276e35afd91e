#include "adapters/llama/rope_params.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/tiny_models.h"

namespace spolia {
namespace {

using testing::make_engine;
using testing::tiny_model;

TEST(RopeParams, EveryScalingThatIsServedPassesTheGate) {
    for (const char* architecture : {"llama", "qwen2"}) {
        RandomModelShape plain = tiny_model_shape(architecture);
        std::vector<RandomModelShape> shapes(4, plain);
        shapes[0].rope_scaling = "linear";
        shapes[0].rope_scale_factor = 4.0f;
        shapes[1].rope_scaling = "yarn";
        shapes[1].rope_scale_factor = 4.0f;
        shapes[1].rope_orig_ctx = 128;
        shapes[2].rope_base = 500000.0f;
        shapes[3].rope_freq_factors = architecture == std::string("llama");
        shapes[3].rope_scaling = "yarn";
        shapes[3].rope_scale_factor = 3.0f;
        shapes[3].rope_orig_ctx = 64;
        const auto reference = make_engine(tiny_model(plain));
        for (const RandomModelShape& shape : shapes) {
            SCOPED_TRACE(std::string(architecture) + " " + shape.rope_scaling);
            const auto engine = make_engine(tiny_model(shape));
            ASSERT_NE(engine, nullptr);
            EXPECT_EQ(engine->info().support, ReuseSupport::kFused)
                << engine->info().support_reason;
            EXPECT_LT(engine->gate().full_kl, 1e-5);
            EXPECT_LT(engine->gate().block_error, 1e-5);
            EXPECT_NE(engine->info().rope.inv_freq, reference->info().rope.inv_freq);
            EXPECT_EQ(engine->info().rope.pairs, architecture == std::string("llama")
                                                     ? RopePairs::kInterleaved
                                                     : RopePairs::kNeox);
        }
    }
}

TEST(RopeParams, FrequencyFactorsAreHonoured) {
    RandomModelShape shape = tiny_model_shape("llama");
    shape.rope_freq_factors = true;
    const auto engine = make_engine(tiny_model(shape));
    ASSERT_NE(engine, nullptr);
    EXPECT_EQ(engine->info().support, ReuseSupport::kFused) << engine->info().support_reason;
    EXPECT_LT(engine->gate().block_error, 1e-5);
    // The file's factors lie around 2.
    EXPECT_LT(engine->info().rope.inv_freq[0], 0.8);
}

TEST(RopeParams, ScalingByLengthIsServedExactlyOnly) {
    RandomModelShape shape = tiny_model_shape("llama");
    shape.rope_scaling = "longrope";
    shape.rope_scale_factor = 4.0f;
    shape.rope_orig_ctx = 128;
    const auto engine = make_engine(tiny_model(shape));
    ASSERT_NE(engine, nullptr);
    EXPECT_EQ(engine->info().support, ReuseSupport::kExactOnly);
    EXPECT_NE(engine->info().support_reason.find("longrope"), std::string::npos)
        << engine->info().support_reason;
}

}  // namespace
}  // namespace spolia
