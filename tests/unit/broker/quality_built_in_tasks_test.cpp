#include "broker/quality/built_in_tasks.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace spolia {
namespace {

TEST(BuiltInTasks, AreThoseOfTheGeneratorInItsOrder) {
    const TaskOptions options{.kinds = {TaskKind::kTwoHops, TaskKind::kMultiTurn}, .seed = 5};
    const Result<std::vector<QualityTask>> tasks = built_in_tasks(options, 3);
    ASSERT_TRUE(tasks.ok());
    ASSERT_EQ(tasks->size(), 6U);
    Result<TaskGenerator> generator = TaskGenerator::create(options);
    ASSERT_TRUE(generator.ok());
    int32_t line = 0;
    for (const QualityTask& task : *tasks) {
        const Result<Task> expected = generator->next();
        ASSERT_TRUE(expected.ok());
        EXPECT_EQ(task.line, ++line);
        EXPECT_EQ(task.chunks, expected->chunks);
        ASSERT_EQ(task.questions.size(), 1U);
        const QualityQuestion& question = task.questions.front();
        const TaskQuestion& generated = expected->questions.front();
        EXPECT_EQ(question.kind, to_string(generated.kind));
        EXPECT_EQ(question.question, generated.question);
        EXPECT_EQ(question.answer, generated.answer);
        EXPECT_EQ(question.cross, generated.cross);
        ASSERT_EQ(question.history.size(), generated.history.size());
        EXPECT_EQ(question.history.size(), question.kind == "multi_turn" ? 1U : 0U);
    }
}

TEST(BuiltInTasks, AreAsManyOfEachKind) {
    TaskOptions options;
    options.kinds.assign(kTaskKinds.begin(), kTaskKinds.end());
    const Result<std::vector<QualityTask>> tasks = built_in_tasks(options, 4);
    ASSERT_TRUE(tasks.ok());
    std::map<std::string, int> of_kind;
    for (const QualityTask& task : *tasks) ++of_kind[task.questions.front().kind];
    EXPECT_EQ(of_kind.size(), kTaskKinds.size());
    for (const auto& [kind, n] : of_kind) EXPECT_EQ(n, 4) << kind;
}

TEST(BuiltInTasks, FailWhereTheGeneratorDoes) {
    EXPECT_FALSE(built_in_tasks({.kinds = {}}, 1).ok());
    EXPECT_FALSE(built_in_tasks({.kinds = {TaskKind::kThreeHops}, .n_chunks = 2}, 1).ok());
}

}  // namespace
}  // namespace spolia
