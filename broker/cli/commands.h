#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace spolia {

constexpr int kExitOk = 0;
constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

// What a subcommand does once its arguments are read; gives the exit code.
using Run = std::function<int()>;

// Adds a subcommand to `app`; when it is the one called, parsing leaves its work in `run`. Each
// stands in its own file, broker/cli/NAME.cpp, and in main.cpp's table.
void add_serve(CLI::App& app, Run& run);
void add_demo(CLI::App& app, Run& run);
void add_doctor(CLI::App& app, Run& run);
void add_inspect(CLI::App& app, Run& run);
void add_ingest(CLI::App& app, Run& run);
void add_tasks(CLI::App& app, Run& run);
void add_calibrate(CLI::App& app, Run& run);
void add_bench(CLI::App& app, Run& run);
// Subcommands of bench.
void add_bench_rag(CLI::App& bench, Run& run);
void add_bench_quality(CLI::App& bench, Run& run);
void add_bench_agents(CLI::App& bench, Run& run);
void add_bench_semantic(CLI::App& bench, Run& run);
void add_bench_index(CLI::App& bench, Run& run);
void add_bench_proxy(CLI::App& bench, Run& run);

}  // namespace spolia
