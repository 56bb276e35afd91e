#include "broker/quality/prompt.h"

#include <algorithm>
#include <map>
#include <utility>

#include "broker/wire/messages.h"
#include "index/chunker.h"
#include "index/span_map.h"

namespace spolia {
namespace {

std::vector<Message> messages_of(const QualityTask& task, const QualityQuestion& question) {
    std::vector<Message> messages;
    if (!task.instructions.empty()) messages.push_back({"system", {task.instructions}});
    messages.push_back({"user", task.chunks});
    for (const TaskTurn& turn : question.history) {
        messages.back().parts.push_back(turn.question);
        messages.push_back({"assistant", {turn.answer}});
        messages.push_back({"user", {}});
    }
    messages.back().parts.push_back(question.question);
    return messages;
}

Error at_line(const QualityTask& task, const Error& error) {
    return {error.code, "task in line " + std::to_string(task.line) + ": " + error.message};
}

}  // namespace

Result<QualityPrompt> make_prompt(const QualityTask& task, const QualityQuestion& question,
                                  const TextModel& text, const KeyScope& scope) {
    ChatRequest chat;
    chat.messages_json = messages_json(messages_of(task, question));
    Result<RenderedChat> rendered = text.render(chat);
    if (!rendered) return at_line(task, rendered.error());
    Result<TokenizedText> tokenized = text.tokenize(rendered->text, true, true);
    if (!tokenized) return at_line(task, tokenized.error());
    if (!has_usable_offsets(*tokenized)) {
        return at_line(task, {ErrorCode::kUnsupported,
                              "this model's tokens do not add up to their text, so chunks can't be "
                              "found in it"});
    }
    QualityPrompt prompt;
    prompt.line = task.line;
    prompt.kind = question.kind;
    prompt.cross = question.cross;
    prompt.answer = question.answer;
    prompt.segments = segment_prompt(*tokenized, rendered->spans, scope,
                                     {.tokens_min = kQualityChunkTokensMin}, nullptr);
    prompt.outline = outline_prompt(*tokenized, prompt.segments);
    prompt.tokens = std::move(tokenized->tokens);
    prompt.stops = std::move(rendered->stops);
    return prompt;
}

Result<std::vector<QualityPrompt>> make_prompts(const std::vector<QualityTask>& tasks,
                                                const TextModel& text, const KeyScope& scope,
                                                int32_t limit) {
    std::vector<QualityPrompt> prompts;
    std::map<std::string, int32_t> of_kind;
    for (const QualityTask& task : tasks) {
        for (const QualityQuestion& question : task.questions) {
            if (limit > 0 && of_kind[question.kind] >= limit) continue;
            ++of_kind[question.kind];
            Result<QualityPrompt> prompt = make_prompt(task, question, text, scope);
            if (!prompt) return std::move(prompt).error();
            prompts.push_back(std::move(prompt).value());
        }
    }
    return prompts;
}

}  // namespace spolia
