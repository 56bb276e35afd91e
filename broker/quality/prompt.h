#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "broker/quality/task_file.h"
#include "index/fingerprint.h"
#include "index/outline.h"
#include "index/result.h"
#include "index/segment.h"
#include "index/token.h"

namespace spolia {

// Chunks of tasks are shorter than those that are worth reusing: here it is quality that counts.
inline constexpr int32_t kQualityChunkTokensMin = 8;

// One question as the model sees it, ready for any way of computing it.
struct QualityPrompt {
    int32_t line = 0;  // of its task
    std::string kind;
    bool cross = false;
    std::string answer;
    std::vector<Token> tokens;
    std::vector<Segment> segments;  // tile the tokens
    PromptOutline outline;
    std::vector<std::string> stops;  // of the chat template
};

// Renders the task with one of its questions through the model's chat template, as the server does
// for messages of one content part a chunk. The instructions, if any, are a system message.
Result<QualityPrompt> make_prompt(const QualityTask& task, const QualityQuestion& question,
                                  const TextModel& text, const KeyScope& scope);

// The prompts of all questions, in the file's order; of each kind `limit` at most, 0: all.
Result<std::vector<QualityPrompt>> make_prompts(const std::vector<QualityTask>& tasks,
                                                const TextModel& text, const KeyScope& scope,
                                                int32_t limit);

}  // namespace spolia
