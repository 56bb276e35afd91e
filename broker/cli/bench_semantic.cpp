#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cli/commands.h"
#include "broker/cli/open_model.h"
#include "broker/cli/own_models.h"
#include "broker/cli/progress.h"
#include "broker/cli/quality_model.h"
#include "broker/cli/rag_workload.h"
#include "broker/cli/report.h"
#include "broker/cli/two_part_bench.h"
#include "broker/quality/built_in_tasks.h"
#include "broker/quality/check_layer_file.h"
#include "broker/quality/donor_bench.h"
#include "broker/quality/donor_times.h"
#include "broker/quality/measures.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout =
    R"(Prompts whose chunks are known in other versions only, as documents get edited. The other
versions were encoded alone; a prompt takes from them the rows of tokens that it shares with them,
where eight or more follow each other, and computes all others.

  dense       all rows computed, as caches do that go by exact keys: none is known
  none        equal tokens from the other versions, nothing recomputed
  cacheblend  the same, 15 % of rows recomputed (times)
  adaptive    the same, and what leans on an edit mended
  as it is    the other versions in place of the chunks, mended by "adaptive", as caches do that go
              by likeness (answers)

Times are measured with the timing model (random weights): documents of random words of which one in
twenty is another, each known in the first version. Finding donors counts, encoding does not. The
check layer is 1, with which "adaptive" mends whole sentences.

Questions are generated (see `spolia tasks`) and asked of the sample model. "right" is the share of
right answers, "as dense" that of answers that are dense compute's, right or wrong; KL is that of
the first token, dense against the way, in nats. "rows reused" is the share of chunk rows that were
neither computed nor recomputed.)";

struct Options : TwoPartOptions {
    int documents = 8;
    int document_tokens = 256;
    int rounds = 3;
    int tasks = 20;
    uint64_t seed = 1;
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

// One word in twenty is another.
EditedDocuments edited_documents(const std::vector<std::string>& known, uint32_t seed) {
    std::mt19937 random(seed);
    EditedDocuments documents{.known = known, .edited = {}, .question = {}};
    for (const std::string& text : known) {
        std::string edited;
        std::istringstream words(text);
        for (std::string word; words >> word;) {
            if (!edited.empty()) edited += ' ';
            edited += random() % 20 == 0 ? "other" : word;
        }
        documents.edited.push_back(std::move(edited));
    }
    documents.question = "What is said of " + known[0].substr(0, known[0].find(' ')) + "?";
    return documents;
}

Result<std::vector<EditedDocuments>> make_rounds(const Options& options, const TextModel& text) {
    RagWorkload workload(text, static_cast<uint32_t>(options.seed));
    std::vector<EditedDocuments> rounds;
    for (int i = 0; i <= options.rounds; ++i) {
        std::vector<std::string> known;
        for (int j = 0; j < options.documents; ++j) {
            Result<std::string> sentences = workload.sentences(options.document_tokens);
            if (!sentences) return std::move(sentences).error();
            known.push_back(std::move(sentences).value());
        }
        rounds.push_back(edited_documents(
            known, static_cast<uint32_t>(options.seed + static_cast<uint64_t>(i))));
    }
    return rounds;
}

// The first round warms up.
Result<BenchPart> measure_times(const Options& options) {
    const Result<std::filesystem::path> path = model_for_times(options);
    if (!path.ok()) return path.error();
    const int n_ctx =
        options.documents * (options.document_tokens + options.document_tokens / 4) + 256;
    const Result<OpenModel> opened = open_for_bench(*path, options, n_ctx, 1);
    if (!opened.ok()) return opened.error();
    const Result<std::vector<EditedDocuments>> rounds = make_rounds(options, *opened->text);
    if (!rounds.ok()) return rounds.error();
    ProgressBar bar("semantic, times", options.quiet);
    const Result<std::vector<DonorTimes>> times =
        time_donors(*opened->engine, *opened->text, *rounds,
                    [&](size_t n_done) { bar.show(n_done, rounds->size()); });
    if (!times.ok()) return times.error();
    BenchPart part;
    const ModelInfo& info = opened->engine->info();
    part.json = report_head("semantic", info, options.threads);
    part.json["setup"] = {{"documents", options.documents},
                          {"document_tokens", options.document_tokens},
                          {"rounds", options.rounds}};
    std::vector<std::vector<std::string>> table = {
        {"way", "first token", "vs dense", "finding donors", "tokens reused"}};
    double dense_ms = 0;
    for (const DonorTimes& way : *times) {
        const double ms = percentile(way.first_token_ms, 0.5);
        if (dense_ms == 0) dense_ms = ms;
        const double reuse =
            1.0 * static_cast<double>(way.n_reused) / static_cast<double>(way.n_prompt);
        part.json["rows"].push_back({{"way", way.way},
                                     {"first_token_ms", ms},
                                     {"find_ms", percentile(way.find_ms, 0.5)},
                                     {"vs_dense", dense_ms / ms},
                                     {"token_reuse", reuse},
                                     {"blended_tokens", way.n_blended}});
        table.push_back({way.way, short_number(ms) + " ms", short_ratio(dense_ms / ms),
                         short_number(percentile(way.find_ms, 0.5)) + " ms",
                         short_number(100 * reuse) + " %"});
    }
    part.text = "First token, " + title_of(info) + ", 5 % of words edited, medians of " +
                std::to_string(options.rounds) + " rounds:\n\n" + format_table(table);
    return part;
}

Result<BenchPart> measure_answers(const Options& options) {
    const Result<std::filesystem::path> path = model_or_sample(options.model);
    if (!path.ok()) return path.error();
    const Result<std::vector<QualityTask>> tasks =
        built_in_tasks(task_options(options), options.tasks);
    if (!tasks.ok()) return tasks.error();
    constexpr int kAnswerTokens = 8;
    const Result<QualityModel> model = open_quality_model(
        {*path, options.gpu_layers, options.threads, 2 * kAnswerTokens + 64, 0}, *tasks);
    if (!model.ok()) return model.error();
    const ModelInfo& info = model->engine->info();
    const DonorBenchOptions bench{.tokens_max = kAnswerTokens,
                                  .check_layer = check_layer_of(options.cache_directory, info),
                                  .seed = options.seed};
    ProgressBar bar("semantic, answers", options.quiet);
    const auto figures =
        measure_donors(*model->engine, *model->text, *tasks, bench,
                       [&](size_t n_done, size_t n_all) { bar.show(n_done, n_all); });
    if (!figures.ok()) return figures.error();
    BenchPart part;
    part.json = report_head("semantic", info, options.threads);
    part.json["setup"] = {{"tasks_of_each_kind", options.tasks},
                          {"seed", options.seed},
                          {"check_layer", bench.check_layer}};
    part.json["rows"] = rows_json(*figures);
    part.text = "Answers, " + title_of(info) + ", " + std::to_string(figures->front().ways[0].n) +
                " prompts an edit:\n\n" + format_table(table_of(*figures));
    return part;
}

int bench_semantic(const Options& options) {
    return run_parts(
        "bench semantic", options, [&] { return measure_times(options); },
        [&] { return measure_answers(options); });
}

}  // namespace

void add_bench_semantic(CLI::App& bench, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = bench.add_subcommand("semantic", "Chunks known in other versions only");
    command->footer(kAbout);
    add_part_option(*command, *options);
    const auto number = [&](const char* name, int& value, int least, int most, const char* help) {
        add_number(*command, name, value, least, most, help);
    };
    number("--documents", options->documents, 1, 64, "times: of a prompt");
    number("--document-tokens", options->document_tokens, 64, 1024, "times: of each, about");
    number("--rounds", options->rounds, 1, 1000, "times: measured, behind one warm-up");
    number("--tasks", options->tasks, 1, 10'000, "answers: of each kind");
    command->add_option("--seed", options->seed, "another seed, other tasks and edits")
        ->capture_default_str();
    add_two_part_options(*command, *options);
    command->callback([options, &run] { run = [options] { return bench_semantic(*options); }; });
}

}  // namespace spolia
