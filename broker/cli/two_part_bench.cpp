#include "broker/cli/two_part_bench.h"

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>

#include "broker/cli/bench_options.h"
#include "broker/cli/commands.h"
#include "broker/cli/own_models.h"

namespace spolia {

TwoPartOptions::TwoPartOptions()
    : threads(static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))) {}

void add_part_option(CLI::App& command, TwoPartOptions& options) {
    command.add_option("--part", options.part, "what is measured")
        ->check(CLI::IsMember({"both", "times", "answers"}))
        ->capture_default_str();
}

void add_two_part_options(CLI::App& command, TwoPartOptions& options) {
    command.add_option("--model", options.model, "answers: GGUF file; default: the sample model");
    command.add_option("--times-model", options.times_model,
                       "times: GGUF file; default: the timing model");
    command.add_option("--cache-dir", options.cache_directory,
                       "answers: where `spolia calibrate` saved the check layer");
    add_engine_options(command, options.threads, options.gpu_layers);
    command.add_option("--format", options.format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command.add_flag("--quiet", options.quiet, "no progress bar");
}

void add_number(CLI::App& command, const char* name, int& value, int least, int most,
                const char* help) {
    command.add_option(name, value, help)->check(CLI::Range(least, most))->capture_default_str();
}

int run_parts(const char* command, const TwoPartOptions& options,
              const std::function<Result<BenchPart>()>& times,
              const std::function<Result<BenchPart>()>& answers) {
    nlohmann::ordered_json report = nlohmann::ordered_json::object();
    std::string text;
    for (const auto& [name, measure] :
         {std::pair("times", &times), std::pair("answers", &answers)}) {
        if (options.part != "both" && options.part != name) continue;
        Result<BenchPart> part = (*measure)();
        if (!part) return fail_command(command, part.error());
        report[name] = std::move(part->json);
        text += (text.empty() ? "" : "\n") + part->text;
    }
    std::printf("%s\n", options.format == "json" ? report.dump(2).c_str() : text.c_str());
    return kExitOk;
}

Result<std::filesystem::path> model_for_times(const TwoPartOptions& options) {
    if (options.times_model.empty()) return timing_model();
    return std::filesystem::path(options.times_model);
}

Result<OpenModel> open_for_bench(const std::filesystem::path& path, const TwoPartOptions& options,
                                 int n_ctx, int n_sequences) {
    OpenModel opened;
    if (Status status = opened.open(path, options.gpu_layers); !status) return status.error();
    LlamaEngineOptions engine_options;
    engine_options.n_ctx = n_ctx;
    engine_options.n_sequences = n_sequences;
    engine_options.n_threads = options.threads;
    if (Status status = opened.open_engine(engine_options); !status) return status.error();
    return opened;
}

}  // namespace spolia
