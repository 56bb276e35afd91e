#include "broker/quality/task_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace spolia {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kTask =
    R"({"kind": "two_hops", "instructions": "Read.", "chunks": ["One.", "Two."],)"
    R"( "questions": [{"question": "Q?", "answer": "A", "cross": true}]})";

Result<std::vector<QualityTask>> read(const std::string& text) {
    std::istringstream lines(text);
    return read_tasks(lines, "tasks.jsonl");
}

std::string error_of(const std::string& text) {
    const auto tasks = read(text);
    EXPECT_FALSE(tasks.ok()) << text;
    return tasks.ok() ? "" : tasks.error().message;
}

TEST(QualityTaskFile, ReadsWhatATaskIs) {
    const auto tasks = read(std::string("\n") + kTask + "\r\n \n" + kTask);
    ASSERT_TRUE(tasks.ok()) << tasks.error().message;
    ASSERT_EQ(tasks->size(), 2u);
    const QualityTask& task = tasks->front();
    EXPECT_EQ(task.line, 2);
    EXPECT_EQ(tasks->back().line, 4);
    EXPECT_EQ(task.instructions, "Read.");
    EXPECT_EQ(task.chunks, (std::vector<std::string>{"One.", "Two."}));
    ASSERT_EQ(task.questions.size(), 1u);
    EXPECT_EQ(task.questions[0].kind, "two_hops");
    EXPECT_EQ(task.questions[0].question, "Q?");
    EXPECT_EQ(task.questions[0].answer, "A");
    EXPECT_TRUE(task.questions[0].cross);
}

TEST(QualityTaskFile, LeavesOutWhatNeedNotBeAndIgnoresTheRest) {
    const auto tasks =
        read(R"({"kind": "mixed", "seed": 18446744073709551615, "chunks": ["One."], "questions": [)"
             R"({"question": "Q?", "answer": "A", "needs": [0]},)"
             R"({"kind": "judge", "question": "And?", "answer": "B", "cross": null,)"
             R"( "history": [{"question": "Q?", "answer": "A"}]}]})");
    ASSERT_TRUE(tasks.ok()) << tasks.error().message;
    const QualityTask& task = tasks->front();
    EXPECT_EQ(task.instructions, "");
    ASSERT_EQ(task.questions.size(), 2u);
    EXPECT_EQ(task.questions[0].kind, "mixed");
    EXPECT_FALSE(task.questions[0].cross);
    EXPECT_TRUE(task.questions[0].history.empty());
    EXPECT_EQ(task.questions[1].kind, "judge");
    ASSERT_EQ(task.questions[1].history.size(), 1u);
    EXPECT_EQ(task.questions[1].history[0].answer, "A");
}

TEST(QualityTaskFile, ErrorsNameTheLine) {
    const std::string second = std::string(kTask) + "\n";
    EXPECT_THAT(error_of(second + "{\"kind\": \n"), StartsWith("tasks.jsonl:2: no JSON"));
    EXPECT_THAT(error_of(second + "\n[1]"), StartsWith("tasks.jsonl:3: a JSON object"));
    EXPECT_THAT(error_of("{}\n" + second), StartsWith("tasks.jsonl:1: "));
    EXPECT_THAT(error_of("\xFF\n"), StartsWith("tasks.jsonl:1: no JSON"));
    EXPECT_THAT(error_of(""), HasSubstr("no tasks"));
    EXPECT_THAT(error_of("\n \n"), HasSubstr("no tasks"));
}

TEST(QualityTaskFile, ErrorsNameTheMember) {
    const auto with = [](const std::string& chunks, const std::string& questions) {
        return R"({"kind": "k", "chunks": )" + chunks + R"(, "questions": )" + questions + "}";
    };
    const std::string question = R"([{"question": "Q?", "answer": "A"}])";
    EXPECT_TRUE(read(with(R"(["One."])", question)).ok());
    EXPECT_THAT(error_of(with("[]", question)), HasSubstr("chunks"));
    EXPECT_THAT(error_of(with("\"One.\"", question)), HasSubstr("chunks"));
    EXPECT_THAT(error_of(with(R"(["One.", 2])", question)), HasSubstr("chunks[1]"));
    EXPECT_THAT(error_of(with(R"([""])", question)), HasSubstr("chunks[0]"));
    EXPECT_THAT(error_of(with(R"(["One."])", "[]")), HasSubstr("questions"));
    EXPECT_THAT(error_of(with(R"(["One."])", "[1]")), HasSubstr("questions[0]"));
    EXPECT_THAT(error_of(with(R"(["One."])", R"([{"question": "Q?"}])")),
                HasSubstr("questions[0].answer"));
    EXPECT_THAT(error_of(with(R"(["One."])", R"([{"question": "Q?", "answer": 3}])")),
                HasSubstr("questions[0].answer"));
    EXPECT_THAT(
        error_of(with(R"(["One."])", R"([{"question": "Q?", "answer": "A", "cross": "no"}])")),
        HasSubstr("questions[0].cross"));
    EXPECT_THAT(
        error_of(with(R"(["One."])",
                      R"([{"question": "Q?", "answer": "A", "history": [{"question": "P"}]}])")),
        HasSubstr("questions[0].history[0].answer"));
    EXPECT_THAT(error_of(R"({"chunks": ["One."], "questions": )" + question + "}"),
                HasSubstr("kind"));
}

TEST(QualityTaskFile, HasABound) {
    std::string text;
    for (int32_t i = 0; i < kTaskLinesMax; ++i) text += '\n';
    EXPECT_TRUE(read(kTask + text.substr(1)).ok());
    EXPECT_THAT(error_of(text + kTask), HasSubstr("more than"));
}

}  // namespace
}  // namespace spolia
