#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "broker/tasks/task.h"
#include "index/result.h"

namespace spolia {

struct TaskOptions {
    std::vector<TaskKind> kinds;  // asked in turn
    TaskStage stage = TaskStage::kSentences;
    int32_t n_chunks = 6;
    int32_t sentences_per_chunk = 6;
    int32_t questions_per_prompt = 1;
    uint64_t seed = 1;
};

// Makes prompts with questions whose answers are known. The same options give the same tasks
// everywhere, and a task depends on its number only.
class TaskGenerator {
public:
    // Fails where the options ask for more than the vocabularies can name, or for nothing.
    static Result<TaskGenerator> create(TaskOptions options);

    // The next task. Fails where no notes of this size have a question of the kind.
    Result<Task> next();

private:
    explicit TaskGenerator(TaskOptions options) : options_(std::move(options)) {}

    TaskOptions options_;
    uint64_t index_ = 0;
};

}  // namespace spolia
