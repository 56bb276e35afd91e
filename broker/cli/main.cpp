#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include "broker/cli/commands.h"

namespace {

// Every subcommand, in the order of the help.
constexpr void (*kCommands[])(CLI::App&, spolia::Run&) = {
    spolia::add_serve,   spolia::add_ingest, spolia::add_demo,      spolia::add_doctor,
    spolia::add_inspect, spolia::add_tasks,  spolia::add_calibrate, spolia::add_bench,
};

constexpr const char* kExamples = R"(Examples:
  spolia serve --model model.gguf        OpenAI-compatible server on 127.0.0.1:8080
  spolia serve --help                    all of its options; without --model: the sample model
  spolia ingest docs --collection docs   documents that the server retrieves from
  spolia demo                            a RAG session with and without reuse, timed
  spolia doctor --model model.gguf       what this machine and this model can do
  spolia bench rag --chunks 8            the measured table, on this machine
  spolia bench quality --help            what reuse does to answers
  spolia calibrate --help                the layer at which to check a model's rows
  spolia inspect CACHE_DIR --verify      what is stored, and whether it is whole

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.)";

int run(int argc, char** argv) {
    CLI::App app("Reuses the KV cache of known text anywhere in a prompt.", "spolia");
    app.set_version_flag("--version", "spolia " SPOLIA_VERSION);
    app.require_subcommand(1);
    app.footer(kExamples);
    spolia::Run command;
    for (const auto add : kCommands) add(app, command);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? spolia::kExitOk : spolia::kExitUsage;
    }
    return command();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "spolia: %s\n", error.what());
        return spolia::kExitFailure;
    }
}
