#include "broker/cli/bench_options.h"

#include <cstdio>

#include <CLI/CLI.hpp>

#include "broker/cli/commands.h"

namespace spolia {

void add_engine_options(CLI::App& command, int& threads, int& gpu_layers) {
    command.add_option("--threads", threads)->check(CLI::Range(1, 1024))->capture_default_str();
    command.add_option("--gpu-layers", gpu_layers, "layers on a GPU; -1: all")
        ->capture_default_str();
}

void add_budget_options(CLI::App& command, GuardBudget& budget) {
    command
        .add_option("--max-kl", budget.max_kl,
                    "guard: KL of the first token (nats), kept by 99 % of prompts")
        ->check(CLI::Range(0.0, 100.0))
        ->capture_default_str();
    command
        .add_option("--min-agreement", budget.min_agreement,
                    "guard: prompts with the same likeliest first token")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
}

int fail_command(const char* command, const Error& error) {
    std::fprintf(stderr, "spolia %s: %s\n", command, error.message.c_str());
    return error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailure;
}

}  // namespace spolia
