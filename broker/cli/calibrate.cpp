#include <algorithm>
#include <cstdio>
#include <filesystem>
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
#include "broker/quality/built_in_tasks.h"
#include "broker/quality/check_layer_file.h"
#include "broker/quality/layer_measure.h"
#include "broker/quality/report.h"
#include "broker/quality/task_file.h"

namespace spolia {
namespace {

constexpr const char* kAbout = R"(Finds the layer at which selectors should check a model's rows.

Policies with check layers recompute the rows that the new context changes most, as seen at an early
layer. Which layer tells best differs from model to model. Each prompt is computed densely and from
its chunks' blocks; a layer is as good as its deviations tell the 15 % of rows that are furthest off
at the last layer from the others (AUC: the chance that a row of theirs ranks above another one; 0.5
is chance). All rows are computed in front of a check layer, so only the first half of the layers
comes into question; the first of them is taken whose mean AUC is above chance by nine tenths of
what the best is. Where the best is below 0.6 there is none: then policies that can do without check
no layer, and the others layer 1.

With --cache-dir it is saved among the model's blocks. The server and bench quality take it from
there wherever a request or policy names none. Tasks are those of `spolia bench quality`.

Without --model it is the sample model's, without --tasks on generated ones.

Examples:
  spolia calibrate --cache-dir ~/.cache/spolia/blocks
  spolia calibrate --model model.gguf --tasks tasks.jsonl --cache-dir ~/.cache/spolia/blocks
  spolia calibrate --model model.gguf --tasks tasks.jsonl --limit 50 --format json)";

struct Options {
    std::string model;
    std::string tasks;
    std::string cache_directory;
    int limit = 100;
    int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    int gpu_layers = 0;
    std::string format = "text";
    bool quiet = false;
};

Result<CheckLayerRecord> measure(const Options& options, const QualityModel& model) {
    ProgressBar bar("calibrate", options.quiet);
    const Result<LayerCalibration> calibration =
        measure_layers(*model.engine, *model.text, model.prompts,
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

double share_in_front(int32_t layer, const ModelInfo& model) {
    return static_cast<double>(layer) / model.kv.n_layer;
}

void print_text(const CheckLayerRecord& record, const ModelInfo& model) {
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
}

void print_json(const Options& options, const CheckLayerRecord& record, const ModelInfo& model) {
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
    std::printf("%s\n", report.dump(2).c_str());
}

Status save(const Options& options, const CheckLayerRecord& record, const ModelInfo& model) {
    const auto path = check_layer_file(options.cache_directory, model.fingerprint);
    if (Status status = write_check_layer(path, model, record); !status) return status;
    std::fprintf(stderr, "Saved to %s\n", path.c_str());
    return {};
}

// Others than `spolia bench quality` asks by itself.
Result<std::vector<QualityTask>> own_tasks() {
    constexpr int32_t kOfEachKind = 8;
    TaskOptions options;
    options.kinds.assign(kTaskKinds.begin(), kTaskKinds.end());
    options.seed = 2;
    return built_in_tasks(options, kOfEachKind);
}

int calibrate(const Options& options) {
    const Result<std::vector<QualityTask>> tasks =
        options.tasks.empty() ? own_tasks() : read_task_file(options.tasks);
    if (!tasks.ok()) return fail_command("calibrate", tasks.error());
    const Result<std::filesystem::path> path = model_or_sample(options.model);
    if (!path.ok()) return fail_command("calibrate", path.error());
    const Result<QualityModel> model =
        open_quality_model({*path, options.gpu_layers, options.threads, 1, options.limit}, *tasks);
    if (!model.ok()) return fail_command("calibrate", model.error());
    const Result<CheckLayerRecord> record = measure(options, *model);
    if (!record.ok()) return fail_command("calibrate", record.error());
    const ModelInfo& info = model->engine->info();
    if (options.format == "json") {
        print_json(options, *record, info);
    } else {
        print_text(*record, info);
    }
    if (options.cache_directory.empty()) return kExitOk;
    const Status saved = save(options, *record, info);
    return saved.ok() ? kExitOk : fail_command("calibrate", saved.error());
}

}  // namespace

void add_calibrate(CLI::App& app, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("calibrate", "Find the layer at which to check a model's rows");
    command->footer(kAbout);
    command->add_option("--model", options->model, "GGUF file; default: the sample model");
    command->add_option("--tasks", options->tasks,
                        "file of JSON lines; -: stdin; default: generated ones");
    command->add_option("--cache-dir", options->cache_directory,
                        "the server's: where the result is saved; default: nowhere");
    command->add_option("--limit", options->limit, "questions of each kind at most; 0: all")
        ->check(CLI::Range(0, 1'000'000))
        ->capture_default_str();
    add_engine_options(*command, options->threads, options->gpu_layers);
    command->add_option("--format", options->format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->add_flag("--quiet", options->quiet, "no progress bar");
    command->callback([options, &run] { run = [options] { return calibrate(*options); }; });
}

}  // namespace spolia
