#include "broker/quality/layer_measure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_engine.h"
#include "tests/unit/broker/quality_fixture.h"

namespace spolia {
namespace {

using test::ChattyTextModel;
using test::FakeEngine;
using test::ship_task;

TEST(LayerMeasure, ComparesEachPromptsPlacedRowsWithDenseOnes) {
    const ChattyTextModel text;
    const auto prompts = make_prompts({ship_task(1), ship_task(2)}, text, {{1, 2}, ""}, 0).value();
    test::FakeEngineControl control;
    FakeEngine engine({}, control);
    size_t n_done = 0;
    const auto calibration =
        measure_layers(engine, text, prompts, [&](size_t n, size_t) { n_done = n; });
    ASSERT_TRUE(calibration.ok()) << calibration.error().message;
    EXPECT_EQ(n_done, 4u);
    EXPECT_EQ(control.n_prefills, 4);
    EXPECT_EQ(control.n_encodes, 3);
    EXPECT_EQ(control.n_decodes, 0);
    EXPECT_GE(control.n_captures, 2 * 4) << "the chunks of each prompt but the settled one";
    EXPECT_THAT(control.take_violations(), ::testing::IsEmpty());
}

TEST(LayerMeasure, NeedsTheFusedPass) {
    const ChattyTextModel text;
    test::FakeEngineControl control;
    test::FakeEngineOptions options;
    options.support = ReuseSupport::kSpans;
    FakeEngine engine(options, control);
    const auto calibration = measure_layers(engine, text, {}, [](size_t, size_t) {});
    ASSERT_FALSE(calibration.ok());
    EXPECT_EQ(calibration.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace spolia
