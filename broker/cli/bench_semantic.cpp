#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cli/bench_options.h"
#include "broker/cli/commands.h"
#include "broker/cli/own_models.h"
#include "broker/cli/progress.h"
#include "broker/cli/quality_model.h"
#include "broker/cli/report.h"
#include "broker/quality/built_in_tasks.h"
#include "broker/quality/check_layer_file.h"
#include "broker/quality/donor_bench.h"
#include "broker/quality/measures.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout =
    R"(Prompts whose chunks are known in other versions only, as documents get edited. The other
versions were encoded alone; a prompt takes from them the rows of tokens that it shares with them,
where eight or more follow each other, and computes all others.

  dense     all rows computed
  none      equal tokens from the other versions, nothing recomputed
  adaptive  the same, and what leans on an edit mended
  as it is  the other versions in place of the chunks, as caches do that go by likeness

Questions are generated (see `spolia tasks`) and asked of the sample model. "right" is the share of
right answers, "as dense" that of answers that are dense compute's, right or wrong; KL is that of
the first token, dense against the way, in nats. "rows reused" is the share of chunk rows that were
neither computed nor recomputed.)";

struct Options {
    int tasks = 20;
    uint64_t seed = 1;
    std::string model;
    std::string cache_directory;
    int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    int gpu_layers = 0;
    std::string format = "text";
    bool quiet = false;
};

// Those whose answer is a word of the notes, which edits can change.
TaskOptions task_options(const Options& options) {
    TaskOptions tasks;
    tasks.kinds = {TaskKind::kSingleFact, TaskKind::kTwoHops, TaskKind::kLatestUpdate,
                   TaskKind::kCoreference, TaskKind::kNegation};
    tasks.seed = options.seed;
    return tasks;
}

double share(int32_t n, int32_t of) { return of == 0 ? 0 : 1.0 * n / of; }

Json rows_json(const std::vector<EditFigures>& figures) {
    Json rows = Json::array();
    for (const EditFigures& edit : figures) {
        for (size_t i = 0; i < kDonorWays.size(); ++i) {
            const DonorCalls& calls = edit.ways[i];
            rows.push_back(
                {{"edit", to_string(edit.edit)},
                 {"way", to_string(kDonorWays[i])},
                 {"prompts", calls.n},
                 {"accuracy", share(calls.n_right, calls.n)},
                 {"as_dense", share(calls.n_same, calls.n)},
                 {"top1", share(calls.n_same_first, calls.n)},
                 {"kl", {{"mean", calls.kl_mean()}, {"p99", percentile(calls.kl, 0.99)}}},
                 {"row_reuse", calls.reuse()},
                 {"rows",
                  {{"chunks", calls.n_chunk_rows},
                   {"reused", calls.n_reused},
                   {"blended", calls.n_blended}}}});
        }
    }
    return rows;
}

std::vector<std::vector<std::string>> table_of(const std::vector<EditFigures>& figures) {
    std::vector<std::vector<std::string>> table = {
        {"the other version", "way", "right", "as dense", "KL mean", "KL p99", "rows reused"}};
    const auto percent = [](double part) { return short_number(100 * part) + " %"; };
    for (const EditFigures& edit : figures) {
        for (size_t i = 0; i < kDonorWays.size(); ++i) {
            const DonorCalls& calls = edit.ways[i];
            table.push_back({i == 0 ? std::string(to_string(edit.edit)) : "",
                             std::string(to_string(kDonorWays[i])),
                             percent(share(calls.n_right, calls.n)),
                             percent(share(calls.n_same, calls.n)), short_number(calls.kl_mean()),
                             short_number(percentile(calls.kl, 0.99)), percent(calls.reuse())});
        }
    }
    return table;
}

int bench_semantic(const Options& options) {
    const auto fail = [](const Error& error) { return fail_command("bench semantic", error); };
    const Result<std::filesystem::path> path = model_or_sample(options.model);
    if (!path.ok()) return fail(path.error());
    const Result<std::vector<QualityTask>> tasks =
        built_in_tasks(task_options(options), options.tasks);
    if (!tasks.ok()) return fail(tasks.error());
    constexpr int kAnswerTokens = 8;
    const Result<QualityModel> model = open_quality_model(
        {*path, options.gpu_layers, options.threads, 2 * kAnswerTokens + 64, 0}, *tasks);
    if (!model.ok()) return fail(model.error());
    const ModelInfo& info = model->engine->info();
    const DonorBenchOptions bench{.tokens_max = kAnswerTokens,
                                  .check_layer = check_layer_of(options.cache_directory, info),
                                  .seed = options.seed};
    ProgressBar bar("semantic", options.quiet);
    const auto figures =
        measure_donors(*model->engine, *model->text, *tasks, bench,
                       [&](size_t n_done, size_t n_all) { bar.show(n_done, n_all); });
    if (!figures.ok()) return fail(figures.error());
    if (options.format == "json") {
        Json report = report_head("semantic", info, options.threads);
        report["setup"] = {{"tasks_of_each_kind", options.tasks},
                           {"seed", options.seed},
                           {"check_layer", bench.check_layer}};
        report["rows"] = rows_json(*figures);
        std::printf("%s\n", report.dump(2).c_str());
    } else {
        std::printf("%s, %d prompts an edit:\n\n%s", title_of(info).c_str(),
                    figures->front().ways[0].n, format_table(table_of(*figures)).c_str());
    }
    return kExitOk;
}

}  // namespace

void add_bench_semantic(CLI::App& bench, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = bench.add_subcommand("semantic", "Chunks known in other versions only");
    command->footer(kAbout);
    command->add_option("--tasks", options->tasks, "of each kind")
        ->check(CLI::Range(1, 10'000))
        ->capture_default_str();
    command->add_option("--seed", options->seed, "another seed, other tasks and edits")
        ->capture_default_str();
    command->add_option("--model", options->model, "GGUF file; default: the sample model");
    command->add_option("--cache-dir", options->cache_directory,
                        "where `spolia calibrate` saved the check layer");
    add_engine_options(*command, options->threads, options->gpu_layers);
    command->add_option("--format", options->format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->add_flag("--quiet", options->quiet, "no progress bar");
    command->callback([options, &run] { run = [options] { return bench_semantic(*options); }; });
}

}  // namespace spolia
