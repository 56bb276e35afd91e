#pragma once

#include <optional>

#include "broker/tasks/ledger.h"
#include "broker/tasks/random.h"
#include "broker/tasks/task.h"

namespace spolia {

// A question of the kind to the ledger; nothing where the ledger has none to ask.
std::optional<TaskQuestion> ask(const Ledger& ledger, TaskKind kind, TaskStage stage,
                                TaskRandom& random);

}  // namespace spolia
