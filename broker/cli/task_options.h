#pragma once

#include <vector>

#include "broker/tasks/task_generator.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace spolia {

// --kind, --chunks, --sentences and --seed, with what stands in `options` as defaults, and all
// kinds as that of --kind. `options` must outlive the parsing.
std::vector<CLI::Option*> add_task_options(CLI::App& command, TaskOptions& options);

}  // namespace spolia
