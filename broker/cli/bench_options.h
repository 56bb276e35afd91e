#pragma once

#include "broker/guard/sample.h"
#include "index/result.h"

namespace CLI {
class App;
}

namespace spolia {

// --threads and --gpu-layers, with what stands in them as defaults. Both must outlive the parsing.
void add_engine_options(CLI::App& command, int& threads, int& gpu_layers);

// --max-kl and --min-agreement, with what stands in `budget` as defaults. It must outlive the
// parsing.
void add_budget_options(CLI::App& command, GuardBudget& budget);

// Says on stderr that `spolia COMMAND` failed and why; gives the exit code.
int fail_command(const char* command, const Error& error);

}  // namespace spolia
