#include <CLI/CLI.hpp>

#include "broker/cli/commands.h"

namespace spolia {

void add_bench(CLI::App& app, Run& run) {
    CLI::App* bench = app.add_subcommand("bench", "Measure this machine");
    bench->require_subcommand(1);
    add_bench_rag(*bench, run);
    add_bench_quality(*bench, run);
    add_bench_agents(*bench, run);
    add_bench_semantic(*bench, run);
    add_bench_index(*bench, run);
    add_bench_proxy(*bench, run);
}

}  // namespace spolia
