#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "broker/cli/bench_options.h"
#include "broker/cli/commands.h"
#include "broker/cli/own_models.h"
#include "broker/cli/picture_file.h"
#include "broker/cli/progress.h"
#include "broker/cli/quality_model.h"
#include "broker/cli/report.h"
#include "broker/cli/task_options.h"
#include "broker/core/guard_file.h"
#include "broker/quality/built_in_tasks.h"
#include "broker/quality/check_layer_file.h"
#include "broker/quality/picture.h"
#include "broker/quality/policy_setting.h"
#include "broker/quality/prompt.h"
#include "broker/quality/quality_bench.h"
#include "broker/quality/report.h"
#include "broker/quality/task_file.h"

namespace spolia {
namespace {

constexpr const char* kAbout =
    R"(What composed reuse does to a model's answers, against the dense run of the same prompt.

Every question is a prompt of its own: the chunks and the question through the model's chat
template. Each chunk is encoded alone once; each policy puts the chunks together and recomputes what
it chooses. Compared with dense are the answers (right where they begin with the task's answer), the
first token's distribution (KL of dense against it, in nats; top-1: the same greedy token), the
greedy tokens (up to the first difference; whole answers) and the time of all prefills, in this
process and this run. "of chunk rows" is the share that was recomputed, "of their work" what that
took of computing all of them: a policy with check layers computes more rows in front of them, most
policies all.

Without --tasks they are generated: short notes about ships, with twelve kinds of questions, as
`spolia tasks` writes them. The sample model, which is the default, was trained on such notes and
knows nothing else. Other models can be asked the same, but may begin their answers in other words.

Tasks of a file are JSON lines; other members are ignored:

  {"kind": "two_hops", "instructions": "...", "chunks": ["...", "..."],
   "questions": [{"question": "...", "answer": "...", "cross": true}]}

"cross" says that no chunk alone gives the answer. "instructions" and "cross" may be left out. A
question may have a "kind" of its own and a "history": [{"question", "answer"}].

A policy is NAME[:key=value,...]; without --policy a sweep of all is measured. With "guarded:" in
front its prompts are served as a server's guard would serve them, all others running dense; a guard
that knows nothing yet (see --cache-dir) learns from the prompts as they come:

)";

constexpr const char* kExamples = R"(
Examples:
  spolia bench quality --picture quality.svg
  spolia bench quality --kind two_hops --kind long --count 200 --chunks 9 --seed 7
  spolia bench quality --model model.gguf --tasks tasks.jsonl --limit 100
  spolia bench quality --model model.gguf --tasks - --policy none --policy epic:head_rows=4 \
      --policy cacheblend:layer=3,ratio=0.15 --format markdown < tasks.jsonl)";

struct Options {
    std::string model;
    std::string tasks;
    TaskOptions built_in;
    int count = 50;
    std::vector<std::string> policies;
    int limit = 0;
    int tokens = 32;
    int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    int gpu_layers = 0;
    std::string format = "text";
    std::string picture;
    std::string cache_directory;
    GuardBudget budget;
    bool quiet = false;
};

Result<std::vector<PolicySetting>> read_policies(const std::vector<std::string>& texts) {
    std::vector<PolicySetting> settings;
    std::set<std::string> labels;
    for (const std::string& text : texts) {
        Result<PolicySetting> setting = parse_policy(text);
        if (!setting) return std::move(setting).error();
        if (labels.insert(setting->label).second) settings.push_back(std::move(setting).value());
    }
    return settings;
}

Result<std::vector<QualityTask>> read_or_make_tasks(const Options& options) {
    if (options.tasks.empty()) return built_in_tasks(options.built_in, options.count);
    return read_task_file(options.tasks);
}

Result<QualityModel> open_model(const Options& options, const std::vector<QualityTask>& tasks) {
    const Result<std::filesystem::path> path = model_or_sample(options.model);
    if (!path.ok()) return path.error();
    return open_quality_model(
        {*path, options.gpu_layers, options.threads, options.tokens, options.limit}, tasks);
}

Result<std::vector<WayFigures>> measure(const Options& options, const QualityModel& model,
                                        const std::vector<PolicySetting>& settings) {
    ProgressBar bar("quality", options.quiet);
    QualityOptions quality{.tokens_max = options.tokens, .budget = options.budget};
    Result<std::vector<RungRecord>> rungs =
        known_rungs(options.cache_directory, model.engine->info().fingerprint, options.budget);
    if (!rungs) return std::move(rungs).error();
    quality.rungs = std::move(rungs).value();
    return measure_quality(*model.engine, *model.text, model.prompts, settings, quality,
                           [&](size_t n_done, size_t n_all) { bar.show(n_done, n_all); });
}

std::string heading(const Options& options, const QualityModel& model) {
    const ModelInfo& info = model.engine->info();
    return title_of(info) + ", " + std::to_string(model.prompts.size()) + " prompts of up to " +
           std::to_string(model.longest_prompt()) + " tokens, answers of up to " +
           std::to_string(options.tokens);
}

// Where the tasks come from, so that they can be had again.
Json tasks_json(const Options& options) {
    if (!options.tasks.empty()) return options.tasks;
    Json kinds = Json::array();
    for (const TaskKind kind : options.built_in.kinds) kinds.push_back(to_string(kind));
    return {{"kinds", kinds},
            {"count", options.count},
            {"chunks", options.built_in.n_chunks},
            {"sentences", options.built_in.sentences_per_chunk},
            {"seed", options.built_in.seed}};
}

Json json_report(const Options& options, const QualityModel& model, int32_t check_layer,
                 std::span<const WayFigures> ways) {
    Json report = report_head("quality", model.engine->info(), options.threads);
    report["setup"] = {{"tasks", tasks_json(options)},
                       {"prompts", model.prompts.size()},
                       {"prompt_tokens_max", model.longest_prompt()},
                       {"answer_tokens_max", options.tokens},
                       {"chunk_tokens_min", kQualityChunkTokensMin},
                       {"check_layer", check_layer},
                       {"max_kl", options.budget.max_kl},
                       {"min_agreement", options.budget.min_agreement},
                       {"support", to_string(model.engine->info().support)}};
    report["rows"] = quality_rows(ways);
    return report;
}

void print_report(const Options& options, const QualityModel& model, int32_t check_layer,
                  std::span<const WayFigures> ways) {
    if (options.format == "json") {
        std::printf("%s\n", json_report(options, model, check_layer, ways).dump(2).c_str());
        return;
    }
    const bool markdown = options.format == "markdown";
    const auto table = [&](const TableRows& rows) {
        return markdown ? markdown_table(rows) : format_table(rows);
    };
    std::printf("%s\n\n%s\nAccuracy by task:\n\n%s", heading(options, model).c_str(),
                table(quality_table(ways)).c_str(), table(accuracy_table(ways)).c_str());
    const TableRows refusals = refusal_table(ways);
    if (refusals.size() > 1) {
        std::printf("\nUnder guard, of all prompts:\n\n%s", table(refusals).c_str());
    }
}

int bench_quality(const Options& options) {
    Result<std::vector<PolicySetting>> settings = read_policies(options.policies);
    if (!settings) return fail_command("bench quality", settings.error());
    if (!options.picture.empty()) {
        if (Status status = check_picture_file(options.picture); !status) {
            return fail_command("bench quality", status.error());
        }
    }
    const Result<std::vector<QualityTask>> tasks = read_or_make_tasks(options);
    if (!tasks.ok()) return fail_command("bench quality", tasks.error());
    const Result<QualityModel> model = open_model(options, *tasks);
    if (!model.ok()) return fail_command("bench quality", model.error());
    if (settings->empty()) *settings = default_policies(model->engine->info());
    const int32_t check_layer = check_layer_of(options.cache_directory, model->engine->info());
    use_check_layer(check_layer, *settings);
    const Result<std::vector<WayFigures>> ways = measure(options, *model, *settings);
    if (!ways.ok()) return fail_command("bench quality", ways.error());
    print_report(options, *model, check_layer, *ways);
    if (options.picture.empty()) return kExitOk;
    const Status written =
        write_picture_file(options.picture, draw_quality(*ways, heading(options, *model)));
    return written.ok() ? kExitOk : fail_command("bench quality", written.error());
}

// Tasks of a file or generated ones, not both.
void add_task_source(CLI::App& command, Options& options) {
    CLI::Option* tasks = command.add_option(
        "--tasks", options.tasks, "file of JSON lines; -: stdin; default: generated ones");
    command
        .add_option("--limit", options.limit, "questions of each kind at most, of --tasks; 0: all")
        ->check(CLI::Range(0, 1'000'000))
        ->capture_default_str()
        ->needs(tasks);
    constexpr int kCountMax = kTaskLinesMax / static_cast<int>(kTaskKinds.size());
    std::vector<CLI::Option*> built_in = add_task_options(command, options.built_in);
    built_in.push_back(command.add_option("--count", options.count, "questions of each kind")
                           ->check(CLI::Range(1, kCountMax))
                           ->capture_default_str());
    for (CLI::Option* option : built_in) option->group("Generated tasks")->excludes(tasks);
}

}  // namespace

void add_bench_quality(CLI::App& bench, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = bench.add_subcommand("quality", "Answers under reuse against dense ones");
    command->footer(kAbout + describe_policies() + kExamples);
    command->add_option("--model", options->model, "GGUF file; default: the sample model");
    add_task_source(*command, *options);
    command->add_option("--policy", options->policies, "may be repeated; default: a sweep")
        ->take_all()
        ->allow_extra_args(false);
    command->add_option("--tokens", options->tokens, "of each answer, at most")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    add_engine_options(*command, options->threads, options->gpu_layers);
    command->add_option("--format", options->format)
        ->check(CLI::IsMember({"text", "json", "markdown"}))
        ->capture_default_str();
    command->add_option("--picture", options->picture,
                        "quality against recomputed rows, as FILE.svg or FILE.png");
    command->add_option("--cache-dir", options->cache_directory,
                        "with what `spolia calibrate` saved: the layer of policies that name none, "
                        "and what guards know");
    add_budget_options(*command, options->budget);
    command->add_flag("--quiet", options->quiet, "no progress bar");
    command->callback([options, &run] { run = [options] { return bench_quality(*options); }; });
}

}  // namespace spolia
