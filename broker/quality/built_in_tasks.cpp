#include "broker/quality/built_in_tasks.h"

#include <string>
#include <utility>

namespace spolia {
namespace {

QualityTask quality_task(Task task, int32_t line) {
    QualityTask result;
    result.line = line;
    result.chunks = std::move(task.chunks);
    for (TaskQuestion& question : task.questions) {
        result.questions.push_back({std::string(to_string(question.kind)),
                                    std::move(question.history), std::move(question.question),
                                    std::move(question.answer), question.cross});
    }
    return result;
}

}  // namespace

Result<std::vector<QualityTask>> built_in_tasks(const TaskOptions& options, int32_t count) {
    Result<TaskGenerator> generator = TaskGenerator::create(options);
    if (!generator) return std::move(generator).error();
    const int32_t n = count * static_cast<int32_t>(options.kinds.size());
    std::vector<QualityTask> tasks;
    for (int32_t line = 1; line <= n; ++line) {
        Result<Task> task = generator->next();
        if (!task) return std::move(task).error();
        tasks.push_back(quality_task(std::move(task).value(), line));
    }
    return tasks;
}

}  // namespace spolia
