#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "adapters/llama/llama_engine.h"
#include "adapters/llama/model.h"
#include "adapters/llama/text_model.h"
#include "broker/cli/bench_options.h"
#include "broker/cli/commands.h"
#include "broker/cli/picture_file.h"
#include "broker/cli/progress.h"
#include "broker/cli/report.h"
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
took of computing all of them: a policy with check layers computes every row in front of them.

Tasks are JSON lines; other members are ignored:

  {"kind": "two_hops", "instructions": "...", "chunks": ["...", "..."],
   "questions": [{"question": "...", "answer": "...", "cross": true}]}

"cross" says that no chunk alone gives the answer. "instructions" and "cross" may be left out. A
question may have a "kind" of its own and a "history": [{"question", "answer"}].

A policy is NAME[:key=value,...]; without --policy a sweep of all is measured:

)";

constexpr const char* kExamples = R"(
Examples:
  spolia bench quality --model model.gguf --tasks tasks.jsonl --picture quality.svg
  spolia bench quality --model model.gguf --tasks - --policy none --policy epic:head_rows=4 \
      --policy cacheblend:layer=3,ratio=0.15 --format markdown < tasks.jsonl)";

struct Options {
    std::string model;
    std::string tasks;
    std::vector<std::string> policies;
    int limit = 0;
    int tokens = 32;
    int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    int gpu_layers = 0;
    std::string format = "text";
    std::string picture;
    std::string cache_directory;
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

// A model opened for prompts of known lengths.
struct Bench {
    std::unique_ptr<LlamaModel> model;
    std::unique_ptr<LlamaTextModel> text;
    std::vector<QualityPrompt> prompts;
    std::unique_ptr<LlamaEngine> engine;
};

int32_t longest(const std::vector<QualityPrompt>& prompts) {
    size_t most = 0;
    for (const QualityPrompt& prompt : prompts) most = std::max(most, prompt.tokens.size());
    return static_cast<int32_t>(most);
}

Result<Bench> open_bench(const Options& options, const std::vector<QualityTask>& tasks) {
    Bench bench;
    Result<std::unique_ptr<LlamaModel>> model =
        LlamaModel::load({options.model, options.gpu_layers, {}});
    if (!model) return std::move(model).error();
    bench.model = std::move(model).value();
    Result<std::unique_ptr<LlamaTextModel>> text = LlamaTextModel::create(bench.model->get(), "");
    if (!text) return std::move(text).error();
    bench.text = std::move(text).value();
    Result<std::vector<QualityPrompt>> prompts =
        make_prompts(tasks, *bench.text, {bench.model->file_fingerprint(), ""}, options.limit);
    if (!prompts) return std::move(prompts).error();
    bench.prompts = std::move(prompts).value();

    LlamaEngineOptions engine_options;
    engine_options.n_ctx = longest(bench.prompts) + options.tokens;
    engine_options.n_sequences = 1;
    engine_options.n_threads = options.threads;
    Result<std::unique_ptr<LlamaEngine>> engine = LlamaEngine::create(*bench.model, engine_options);
    if (!engine) return std::move(engine).error();
    bench.engine = std::move(engine).value();
    return bench;
}

Result<std::vector<WayFigures>> measure(const Options& options, const Bench& bench,
                                        const std::vector<PolicySetting>& settings) {
    ProgressBar bar("quality", options.quiet);
    return measure_quality(*bench.engine, *bench.text, bench.prompts, settings, options.tokens,
                           [&](size_t n_done, size_t n_all) { bar.show(n_done, n_all); });
}

std::string heading(const Options& options, const Bench& bench) {
    const ModelInfo& model = bench.engine->info();
    return model.name + (model.random_weights ? " (random weights)" : "") + ", " +
           std::to_string(bench.prompts.size()) + " prompts of up to " +
           std::to_string(longest(bench.prompts)) + " tokens, answers of up to " +
           std::to_string(options.tokens);
}

Json json_report(const Options& options, const Bench& bench, int32_t check_layer,
                 std::span<const WayFigures> ways) {
    Json report = report_head("quality", bench.engine->info(), options.threads);
    report["setup"] = {{"tasks", options.tasks},
                       {"prompts", bench.prompts.size()},
                       {"prompt_tokens_max", longest(bench.prompts)},
                       {"answer_tokens_max", options.tokens},
                       {"chunk_tokens_min", kQualityChunkTokensMin},
                       {"check_layer", check_layer},
                       {"support", to_string(bench.engine->info().support)}};
    report["rows"] = quality_rows(ways);
    return report;
}

void print_report(const Options& options, const Bench& bench, int32_t check_layer,
                  std::span<const WayFigures> ways) {
    if (options.format == "json") {
        std::printf("%s\n", json_report(options, bench, check_layer, ways).dump(2).c_str());
        return;
    }
    const bool markdown = options.format == "markdown";
    const auto table = [&](const TableRows& rows) {
        return markdown ? markdown_table(rows) : format_table(rows);
    };
    std::printf("%s\n\n%s\nAccuracy by task:\n\n%s", heading(options, bench).c_str(),
                table(quality_table(ways)).c_str(), table(accuracy_table(ways)).c_str());
}

int bench_quality(const Options& options) {
    Result<std::vector<PolicySetting>> settings = read_policies(options.policies);
    if (!settings) return fail_bench("quality", settings.error());
    if (!options.picture.empty()) {
        if (Status status = check_picture_file(options.picture); !status) {
            return fail_bench("quality", status.error());
        }
    }
    const Result<std::vector<QualityTask>> tasks = read_task_file(options.tasks);
    if (!tasks.ok()) return fail_bench("quality", tasks.error());
    const Result<Bench> bench = open_bench(options, *tasks);
    if (!bench.ok()) return fail_bench("quality", bench.error());
    if (settings->empty()) *settings = default_policies(bench->engine->info());
    const int32_t check_layer = check_layer_of(options.cache_directory, bench->engine->info());
    use_check_layer(check_layer, *settings);
    const Result<std::vector<WayFigures>> ways = measure(options, *bench, *settings);
    if (!ways.ok()) return fail_bench("quality", ways.error());
    print_report(options, *bench, check_layer, *ways);
    if (options.picture.empty()) return kExitOk;
    const Status written =
        write_picture_file(options.picture, draw_quality(*ways, heading(options, *bench)));
    return written.ok() ? kExitOk : fail_bench("quality", written.error());
}

}  // namespace

void add_bench_quality(CLI::App& bench, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        bench.add_subcommand("quality", "Answers under reuse against dense ones, on your tasks");
    command->footer(kAbout + describe_policies() + kExamples);
    command->add_option("--model", options->model, "GGUF file")->required();
    command->add_option("--tasks", options->tasks, "file of JSON lines; -: stdin")->required();
    command->add_option("--policy", options->policies, "may be repeated; default: a sweep")
        ->take_all()
        ->allow_extra_args(false);
    command->add_option("--limit", options->limit, "questions of each kind at most; 0: all")
        ->check(CLI::Range(0, 1'000'000))
        ->capture_default_str();
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
                        "with what `spolia calibrate` saved: the layer of policies that name none");
    command->add_flag("--quiet", options->quiet, "no progress bar");
    command->callback([options, &run] { run = [options] { return bench_quality(*options); }; });
}

}  // namespace spolia
