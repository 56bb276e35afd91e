#pragma once

#include <cstdint>
#include <vector>

#include "broker/quality/task_file.h"
#include "broker/tasks/task_generator.h"
#include "index/result.h"

namespace spolia {

// `count` generated tasks of each kind, the kinds in turn. A task's line is the one that it has
// among those of `spolia tasks` with the same options.
Result<std::vector<QualityTask>> built_in_tasks(const TaskOptions& options, int32_t count);

}  // namespace spolia
