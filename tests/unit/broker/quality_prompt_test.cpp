#include "broker/quality/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/broker/quality_fixture.h"

namespace spolia {
namespace {

using test::ChattyTextModel;
using test::ship_task;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const KeyScope kScope{{1, 2}, ""};

class QualityPromptTest : public ::testing::Test {
protected:
    QualityPrompt prompt_of(const QualityTask& task, size_t question) {
        Result<QualityPrompt> prompt = make_prompt(task, task.questions[question], text_, kScope);
        EXPECT_TRUE(prompt.ok()) << (prompt.ok() ? "" : prompt.error().message);
        return std::move(prompt).value();
    }
    std::string text_of(const QualityPrompt& prompt, TokenSpan span) const {
        return text_.detokenize(std::span(prompt.tokens).subspan(span.begin, span.size()));
    }
    std::vector<std::string> texts_of(const QualityPrompt& prompt, SegmentRole role) const {
        std::vector<std::string> texts;
        for (const Segment& segment : prompt.segments) {
            if (segment.role == role) texts.push_back(text_of(prompt, segment.span));
        }
        return texts;
    }

    ChattyTextModel text_;
};

TEST_F(QualityPromptTest, EachChunkIsASegmentOfItsOwn) {
    const QualityTask task = ship_task(9);
    const QualityPrompt prompt = prompt_of(task, 1);
    EXPECT_EQ(prompt.line, 9);
    EXPECT_EQ(prompt.kind, "two_hops");
    EXPECT_TRUE(prompt.cross);
    EXPECT_EQ(prompt.answer, "honey");
    EXPECT_EQ(prompt.tokens.front(), test::FakeTextModel::kBos);
    const std::vector<std::string> chunks = texts_of(prompt, SegmentRole::kChunk);
    ASSERT_EQ(chunks.size(), task.chunks.size());
    for (size_t i = 0; i < chunks.size(); ++i) {
        // The full stop is computed with the line feeds behind it.
        EXPECT_EQ(chunks[i] + ".", task.chunks[i]);
    }
    EXPECT_THAT(texts_of(prompt, SegmentRole::kQuery),
                ElementsAre(HasSubstr("What does Ada carry?\nAnswer:")));
    int32_t end = 0;
    for (const Segment& segment : prompt.segments) {
        EXPECT_EQ(segment.span.begin, end);
        end = segment.span.end;
    }
    EXPECT_EQ(end, static_cast<int32_t>(prompt.tokens.size()));
    EXPECT_FALSE(prompt.outline.sentences.empty());
}

TEST_F(QualityPromptTest, QuestionsOfATaskShareItsChunks) {
    const QualityTask task = ship_task();
    const QualityPrompt first = prompt_of(task, 0), second = prompt_of(task, 1);
    for (size_t i = 0; i < first.segments.size(); ++i) {
        if (first.segments[i].role != SegmentRole::kChunk) continue;
        EXPECT_EQ(first.segments[i].key, second.segments[i].key);
    }
    EXPECT_NE(first.tokens, second.tokens);
}

TEST_F(QualityPromptTest, InstructionsAndHistoryAreMessages) {
    QualityTask task = ship_task();
    task.instructions = "Answer from the notes.";
    task.questions[1].history = {{"What does Nia carry?", "spice"}};
    const QualityPrompt prompt = prompt_of(task, 1);
    const std::string text = text_.detokenize(prompt.tokens);
    EXPECT_EQ(text.find("Answer from the notes.\n\nNote oak."), 0u);
    EXPECT_THAT(text, HasSubstr("today.\n\nWhat does Nia carry?\nAnswer:"));
    EXPECT_THAT(text, HasSubstr("spice\n\nWhat does Ada carry?\nAnswer:"));
    EXPECT_TRUE(text.ends_with("What does Ada carry?\nAnswer:"));
    EXPECT_THAT(texts_of(prompt, SegmentRole::kFixed), ElementsAre("Answer from the notes."));
}

TEST_F(QualityPromptTest, ALimitHoldsForEachKind) {
    const std::vector<QualityTask> tasks = {ship_task(1), ship_task(2), ship_task(3)};
    const auto all = make_prompts(tasks, text_, kScope, 0);
    ASSERT_TRUE(all.ok());
    EXPECT_EQ(all->size(), 6u);
    const auto some = make_prompts(tasks, text_, kScope, 2);
    ASSERT_TRUE(some.ok());
    EXPECT_EQ(some->size(), 4u);
    EXPECT_EQ(some->back().line, 2);
    EXPECT_EQ(some->back().kind, "two_hops");
}

TEST_F(QualityPromptTest, ErrorsNameTheLine) {
    test::SampledTokens sampled;
    const test::FakeTextModel without_template(sampled);
    const auto prompts = make_prompts({ship_task(5)}, without_template, kScope, 0);
    ASSERT_FALSE(prompts.ok());
    EXPECT_THAT(prompts.error().message, HasSubstr("line 5"));
}

}  // namespace
}  // namespace spolia
