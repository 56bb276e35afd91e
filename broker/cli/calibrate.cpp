#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "broker/cli/bench_options.h"
#include "broker/cli/commands.h"
#include "broker/cli/own_models.h"
#include "broker/cli/progress.h"
#include "broker/cli/quality_model.h"
#include "broker/cli/report.h"
#include "broker/core/guard_file.h"
#include "broker/quality/built_in_tasks.h"
#include "broker/quality/check_layer_file.h"
#include "broker/quality/guard_lessons.h"
#include "broker/quality/layer_measure.h"
#include "broker/quality/report.h"
#include "broker/quality/task_file.h"
#include "broker/wire/guard_state.h"

namespace spolia {
namespace {

constexpr const char* kAbout =
    R"(Prepares a model for fidelity guarded, from tasks whose answers do not matter.

First the layer at which selectors should check rows. Policies with check layers recompute the rows
that the new context changes most, as seen at an early layer. Which layer tells best differs from
model to model. A few prompts are computed densely and from their chunks' blocks; a layer is as good
as its deviations tell the 15 % of rows that are furthest off at the last layer from the others
(AUC: the chance that a row of theirs ranks above another one; 0.5 is chance). All rows are computed
in front of a check layer, so only the first half of the layers comes into question; the first of
them is taken whose mean AUC is above chance by nine tenths of what the best is. Where the best is
below 0.6 there is none: then policies that can do without check no layer, and the others layer 1.

Then what the guard may serve. Each prompt is computed densely and composed by the settings of the
policy that still have to learn, as the server does in idle time with its clients' requests; with
what it learns here, it serves from the first request on. What holds for these tasks need not hold
for your traffic: the server goes on comparing, and demotes what breaks the budget. Your own prompts
(--tasks) teach most.

With --cache-dir both are saved where the server with the same --cache-dir finds them; stop it
before. Tasks are those of `spolia bench quality`.

Without --model it is the sample model's, without --tasks on generated ones.

Examples:
  spolia calibrate --cache-dir ~/.cache/spolia/blocks
  spolia calibrate --model model.gguf --tasks tasks.jsonl --cache-dir ~/.cache/spolia/blocks
  spolia calibrate --model model.gguf --tasks tasks.jsonl --no-guard --format json)";

// Prompts of each kind that tell the check layer.
constexpr int32_t kLayerPromptsOfKind = 8;

struct Options {
    std::string model;
    std::string tasks;
    std::string cache_directory;
    int limit = 100;
    int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    int gpu_layers = 0;
    bool no_guard = false;
    std::string policy = ReuseDefaults().policy;
    double recompute_ratio = ReuseDefaults().recompute_ratio;
    int32_t head_rows = ReuseDefaults().head_rows;
    GuardBudget budget;
    std::string format = "text";
    bool quiet = false;
};

std::vector<QualityPrompt> first_of_each_kind(const std::vector<QualityPrompt>& prompts) {
    std::map<std::string, int32_t> n;
    std::vector<QualityPrompt> first;
    std::ranges::copy_if(prompts, std::back_inserter(first), [&](const QualityPrompt& prompt) {
        return n[prompt.kind]++ < kLayerPromptsOfKind;
    });
    return first;
}

Result<CheckLayerRecord> measure_layer(const Options& options, const QualityModel& model) {
    // Where there is no pass to check rows in, there is nothing to measure.
    if (model.engine->info().support != ReuseSupport::kFused) return CheckLayerRecord();
    ProgressBar bar("check layer", options.quiet);
    const std::vector<QualityPrompt> prompts = first_of_each_kind(model.prompts);
    const Result<LayerCalibration> calibration =
        measure_layers(*model.engine, *model.text, prompts,
                       [&](size_t n_done, size_t n_all) { bar.show(n_done, n_all); });
    if (!calibration.ok()) return calibration.error();
    if (calibration->n_prompts() == 0) {
        return Error{ErrorCode::kInvalidArgument,
                     "of these tasks no prompt has chunks that another context changes"};
    }
    CheckLayerRecord record;
    record.n_prompts = calibration->n_prompts();
    record.n_rows = calibration->n_rows();
    record.scores = calibration->scores();
    record.layer = cheapest_good_layer(record.scores).value_or(kCheckLayerUncalibrated);
    return record;
}

// Tasks are prompts by themselves: what serves them has no anchors, so it proves nothing about
// them.
std::vector<std::string_view> policies_to_teach() {
    std::vector<std::string_view> names = policy_names();
    std::erase(names, kAnchorsPolicy);
    return names;
}

// The server's ladder, label by label.
Result<ReusePolicy> server_policy(const Options& options, const ModelInfo& model,
                                  int32_t check_layer) {
    ReuseDefaults defaults;
    defaults.policy = options.policy;
    defaults.recompute_ratio = options.recompute_ratio;
    defaults.head_rows = options.head_rows;
    defaults.check_layer = check_layer;
    defaults.budget = options.budget;
    ReuseOptions guarded;
    guarded.fidelity = Fidelity::kGuarded;
    return resolve_reuse(guarded, defaults, model);
}

Result<std::vector<RungRecord>> teach(const Options& options, const QualityModel& model,
                                      int32_t check_layer, const std::vector<RungRecord>& known) {
    Result<ReusePolicy> policy = server_policy(options, model.engine->info(), check_layer);
    if (!policy) return std::move(policy).error();
    ProgressBar bar("guard", options.quiet);
    return teach_guard(*model.engine, *model.text, model.prompts, std::move(policy).value(), known,
                       [&](size_t n_done, size_t n_all) { bar.show(n_done, n_all); });
}

std::vector<RungState> states_of(const std::vector<RungRecord>& rungs, const GuardBudget& budget) {
    Guard guard(budget);
    guard.restore(rungs);
    return guard.states();
}

double share_in_front(int32_t layer, const ModelInfo& model) {
    return static_cast<double>(layer) / model.kv.n_layer;
}

void print_text(const CheckLayerRecord& record, const std::vector<RungState>& rungs,
                const GuardBudget& budget, const ModelInfo& model) {
    std::vector<std::vector<std::string>> table = {
        {"layer", "computed in front", "AUC", "rank correlation"}};
    for (const LayerScore& score : record.scores) {
        char cells[3][32];
        std::snprintf(cells[0], sizeof cells[0], "%.0f %%",
                      100 * share_in_front(score.layer, model));
        std::snprintf(cells[1], sizeof cells[1], "%.3f", score.auc);
        std::snprintf(cells[2], sizeof cells[2], "%.3f", score.correlation);
        table.push_back({std::to_string(score.layer), cells[0], cells[1], cells[2]});
    }
    const std::string layer = cheapest_good_layer(record.scores) ? std::to_string(record.layer)
                                                                 : "none, all are near chance";
    std::printf("%s%s, %d prompts, %lld rows\n\n%s\nCheck layer: %s\n", model.name.c_str(),
                model.random_weights ? " (random weights)" : "", record.n_prompts,
                static_cast<long long>(record.n_rows), format_table(table).c_str(), layer.c_str());
    if (rungs.empty()) return;
    table = {{"rung", "samples", "serves"}};
    for (const RungState& rung : rungs) {
        table.push_back({rung.label, std::to_string(rung.n_samples), describe(rung.serves)});
    }
    std::printf("\n%s", format_table(table).c_str());
    const bool none =
        std::ranges::all_of(rungs, [](const RungState& rung) { return rung.serves.empty(); });
    if (!none) return;
    std::printf(
        "\nNothing may be served yet: that takes %zu prompts without a bad one (--limit).\n",
        Calibration::samples_needed(budget));
}

void print_json(const Options& options, const CheckLayerRecord& record,
                const std::vector<RungState>& rungs, const ModelInfo& model) {
    Json report = report_head("calibrate", model, options.threads);
    report["setup"] = {{"tasks", options.tasks.empty() ? "generated" : options.tasks},
                       {"prompts", record.n_prompts},
                       {"rows", record.n_rows}};
    report["check_layer"] = cheapest_good_layer(record.scores) ? Json(record.layer) : Json();
    report["rows"] = Json::array();
    for (const LayerScore& score : record.scores) {
        report["rows"].push_back({{"layer", score.layer},
                                  {"computed_in_front", share_in_front(score.layer, model)},
                                  {"auc", score.auc},
                                  {"rank_correlation", score.correlation}});
    }
    report["guard"] = Json::array();
    for (const RungState& rung : rungs) report["guard"].push_back(rung_state_json(rung));
    std::printf("%s\n", report.dump(2).c_str());
}

Status save(const Options& options, const CheckLayerRecord& record,
            const std::vector<RungRecord>& rungs, const ModelInfo& model) {
    const auto path = check_layer_file(options.cache_directory, model.fingerprint);
    if (Status status = write_check_layer(path, model, record); !status) return status;
    std::fprintf(stderr, "Saved to %s\n", path.c_str());
    if (rungs.empty()) return {};
    const auto guard_path = guard_file(options.cache_directory, model.fingerprint);
    if (Status status = write_guard_file(guard_path, model.fingerprint, options.budget, rungs);
        !status) {
        return status;
    }
    std::fprintf(stderr, "Saved to %s\n", guard_path.c_str());
    return {};
}

// Others than `spolia bench quality` asks by itself.
Result<std::vector<QualityTask>> own_tasks(const Options& options) {
    TaskOptions tasks;
    tasks.kinds.assign(kTaskKinds.begin(), kTaskKinds.end());
    tasks.seed = 2;
    return built_in_tasks(tasks, options.limit);
}

// The rest, once the model is open. A file that can't be used is told before hours are spent.
Status calibrate(const Options& options, const QualityModel& model) {
    const ModelInfo& info = model.engine->info();
    const Result<std::vector<RungRecord>> known =
        known_rungs(options.cache_directory, info.fingerprint, options.budget);
    if (!known.ok()) return known.error();
    const Result<CheckLayerRecord> record = measure_layer(options, model);
    if (!record.ok()) return record.error();
    std::vector<RungRecord> rungs;
    if (!options.no_guard) {
        Result<std::vector<RungRecord>> taught = teach(options, model, record->layer, *known);
        if (!taught) return std::move(taught).error();
        rungs = std::move(taught).value();
    }
    const std::vector<RungState> states = states_of(rungs, options.budget);
    if (options.format == "json") {
        print_json(options, *record, states, info);
    } else {
        print_text(*record, states, options.budget, info);
    }
    if (options.cache_directory.empty()) return {};
    return save(options, *record, rungs, info);
}

int calibrate(const Options& options) {
    const Result<std::vector<QualityTask>> tasks =
        options.tasks.empty() ? own_tasks(options) : read_task_file(options.tasks);
    if (!tasks.ok()) return fail_command("calibrate", tasks.error());
    const Result<std::filesystem::path> path = model_or_sample(options.model);
    if (!path.ok()) return fail_command("calibrate", path.error());
    const Result<QualityModel> model =
        open_quality_model({*path, options.gpu_layers, options.threads, 1, options.limit}, *tasks);
    if (!model.ok()) return fail_command("calibrate", model.error());
    const Status done = calibrate(options, *model);
    return done.ok() ? kExitOk : fail_command("calibrate", done.error());
}

}  // namespace

void add_calibrate(CLI::App& app, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("calibrate", "Find a model's check layer, and teach its guard");
    command->footer(kAbout);
    command->add_option("--model", options->model, "GGUF file; default: the sample model");
    command->add_option("--tasks", options->tasks,
                        "file of JSON lines; -: stdin; default: generated ones");
    command->add_option("--cache-dir", options->cache_directory,
                        "the server's: where the result is saved; default: nowhere");
    command->add_option("--limit", options->limit, "questions of each kind at most")
        ->check(CLI::Range(1, 8000))
        ->capture_default_str();
    command->add_flag("--no-guard", options->no_guard, "the check layer only");
    command->add_option("--policy", options->policy, "the server's, as the next two")
        ->check(CLI::IsMember(policies_to_teach()))
        ->capture_default_str();
    command->add_option("--recompute-ratio", options->recompute_ratio)
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    command->add_option("--head-rows", options->head_rows)
        ->check(CLI::Range(0, 1024))
        ->capture_default_str();
    add_budget_options(*command, options->budget);
    add_engine_options(*command, options->threads, options->gpu_layers);
    command->add_option("--format", options->format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->add_flag("--quiet", options->quiet, "no progress bar");
    command->callback([options, &run] { run = [options] { return calibrate(*options); }; });
}

}  // namespace spolia
