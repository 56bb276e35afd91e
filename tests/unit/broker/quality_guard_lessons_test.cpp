#include "broker/quality/guard_lessons.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/quality/policy_setting.h"
#include "tests/support/fake_engine.h"
#include "tests/unit/broker/quality_fixture.h"

namespace spolia {
namespace {

using ::testing::IsEmpty;

constexpr const char* kCheap = "epic:head_rows=1";

// Enough prompts to prove a rung that is never bad.
class GuardLessonsTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::vector<QualityTask> tasks;
        for (int32_t line = 1; line <= 260; ++line) {
            tasks.push_back(test::ship_task(line));
            tasks.back().questions.resize(1);
            tasks.back().questions[0].question += " " + std::to_string(line);
        }
        auto prompts = make_prompts(tasks, text_, {{1, 2}, ""}, 0);
        ASSERT_TRUE(prompts.ok());
        prompts_ = std::move(prompts).value();
    }
    void TearDown() override { EXPECT_THAT(control_.take_violations(), IsEmpty()); }

    std::vector<RungState> taught() {
        test::FakeEngine engine(engine_options_, control_);
        const PolicySetting setting = parse_policy(std::string("guarded:") + kCheap).value();
        const auto rungs =
            teach_guard(engine, text_, prompts_, policy_of(setting, engine.info(), {}).value(),
                        known_, [&](size_t n_done, size_t) { n_done_ = n_done; });
        EXPECT_TRUE(rungs.ok());
        known_ = rungs.value();
        Guard guard(GuardBudget{});
        guard.restore(known_);
        return guard.states();
    }

    test::ChattyTextModel text_;
    test::FakeEngineControl control_;
    test::FakeEngineOptions engine_options_;
    std::vector<QualityPrompt> prompts_;
    std::vector<RungRecord> known_;
    size_t n_done_ = 0;
};

TEST_F(GuardLessonsTest, ProvesTheCheapestRungThatIsGood) {
    control_.divergence = [](const PrefillPlan&) { return 0.0f; };
    const std::vector<RungState> rungs = taught();
    EXPECT_EQ(n_done_, prompts_.size());
    ASSERT_EQ(rungs.size(), 1u) << "dearer ones have nothing to learn from";
    EXPECT_EQ(rungs[0].label, kCheap);
    EXPECT_EQ(rungs[0].n_samples, prompts_.size());
    EXPECT_EQ(rungs[0].serves, GuardRegion::everything());
}

TEST_F(GuardLessonsTest, PromisesNothingForWhatIsBad) {
    control_.divergence = [](const PrefillPlan&) { return 20.0f; };
    const std::vector<RungState> rungs = taught();
    EXPECT_EQ(rungs.size(), 3u);
    for (const RungState& rung : rungs) {
        EXPECT_TRUE(rung.serves.empty()) << rung.label;
        EXPECT_EQ(rung.n_samples, prompts_.size());
    }
}

TEST_F(GuardLessonsTest, TheSamePromptsTeachNothingMore) {
    control_.divergence = [](const PrefillPlan&) { return 0.0f; };
    (void)taught();
    EXPECT_EQ(taught()[0].n_samples, prompts_.size());
}

}  // namespace
}  // namespace spolia
