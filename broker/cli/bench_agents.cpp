#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cli/commands.h"
#include "broker/cli/open_model.h"
#include "broker/cli/own_models.h"
#include "broker/cli/progress.h"
#include "broker/cli/report.h"
#include "broker/cli/team_workload.h"
#include "broker/cli/two_part_bench.h"
#include "broker/quality/check_layer_file.h"
#include "broker/quality/measures.h"
#include "broker/quality/team_bench.h"
#include "broker/tasks/team.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout =
    R"(A team of agents: each reads the same input and the messages of all agents before it, behind
a note of its own. Every call is served in every way, in turn:

  dense       all rows computed
  prefix      what the agent's own sequence still holds of the prompt's beginning
  none        chunks as encoded alone, moved to their places; nothing recomputed
  cacheblend  the same, 15 % of rows recomputed
  kvcomm      chunks as encoded alone, and what dense calls in the same place added to others like
              them; all of a call or nothing (arXiv 2510.12872)
  anchors     rows as another agent's prompt or answer left them, what they do not know mended

Times are measured with the timing model (random weights), in this process, from the prepared prompt
to the first token: planning, placing and computing. Encoding chunks alone, which "none",
"cacheblend" and "kvcomm" need, happens between calls and is not charged to them. Keeping a prompt's
rows as anchors comes behind the first token and is told apart ("keep_ms" in JSON).

Answers are measured with the sample model, on generated tasks: relay (the first agent knows a fact
that the others' messages lead back to), ledger (each message changes what the notes said), debate
(two answer, one wrongly, and a judge decides). All ways are asked the same prompts, in which
messages have dense compute's answers. "same first" is the share of calls with dense compute's first
token, KL that of dense against the way, in nats.)";

struct Options : TwoPartOptions {
    TeamShape shape;
    int rounds = 3;
    TeamOptions team;
    int tasks = 50;
};

Json call_json(const CallFigures& calls, bool answers) {
    Json json = {
        {"calls", calls.n},
        {"prompt_ms", {{"mean", calls.ms_mean()}, {"median", percentile(calls.prompt_ms, 0.5)}}},
        {"keep_ms", {{"mean", calls.keep_ms_mean()}}},
        {"reusing_calls", calls.n == 0 ? 0.0 : 1.0 * calls.n_reusing / calls.n},
        {"token_reuse", calls.token_reuse()},
        {"tokens",
         {{"prompt", calls.n_prompt},
          {"exact", calls.n_exact},
          {"shifted", calls.n_shifted},
          {"anchored", calls.n_anchored},
          {"blended", calls.n_blended}}},
        {"kl", {{"mean", calls.kl_mean()}, {"p99", percentile(calls.kl, 0.99)}}},
        {"top1", calls.n == 0 ? 0.0 : 1.0 * calls.n_same_first / calls.n}};
    if (answers) json["accuracy"] = calls.n == 0 ? 0.0 : 1.0 * calls.n_right / calls.n;
    return json;
}

Json rows_json(const std::vector<TeamFigures>& figures, bool answers) {
    Json rows = Json::array();
    for (const TeamFigures& way : figures) {
        Json row = {{"policy", way.policy},
                    {"vs_dense", figures.front().all.ms_mean() / way.all.ms_mean()},
                    {"all", call_json(way.all, answers)}};
        for (const CallFigures& agent : way.agents) {
            row["agents"].push_back(call_json(agent, answers));
        }
        for (const auto& [kind, calls] : way.kinds) row["tasks"][kind] = call_json(calls, answers);
        if (way.judges.n > 0) row["judges"] = call_json(way.judges, answers);
        if (way.pool.anchors > 0) {
            row["pool"] = {{"anchors", way.pool.anchors}, {"bytes", way.pool.bytes}};
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string share(int32_t n, int32_t of) {
    return of == 0 ? "-" : short_number(100.0 * n / of) + " %";
}

std::vector<std::vector<std::string>> time_table(const std::vector<TeamFigures>& figures) {
    std::vector<std::vector<std::string>> table = {{"policy"}};
    const size_t n_agents = figures.front().agents.size();
    for (size_t i = 1; i <= n_agents; ++i) table[0].push_back("agent " + std::to_string(i));
    table[0].insert(table[0].end(), {"last vs dense", "all vs dense", "tokens reused"});
    for (const TeamFigures& way : figures) {
        std::vector<std::string> row = {way.policy};
        for (const CallFigures& agent : way.agents) {
            row.push_back(short_number(agent.ms_mean()) + " ms");
        }
        row.push_back(
            short_ratio(figures.front().agents.back().ms_mean() / way.agents.back().ms_mean()));
        row.push_back(short_ratio(figures.front().all.ms_mean() / way.all.ms_mean()));
        row.push_back(short_number(100 * way.all.token_reuse()) + " %");
        table.push_back(std::move(row));
    }
    return table;
}

std::vector<std::vector<std::string>> answer_table(const std::vector<TeamFigures>& figures) {
    std::vector<std::vector<std::string>> table = {{"policy"}};
    for (const auto& [kind, calls] : figures.front().kinds) table[0].push_back(kind);
    table[0].insert(table[0].end(), {"same first", "judges as dense", "KL mean", "KL p99",
                                     "calls reusing", "tokens reused"});
    for (const TeamFigures& way : figures) {
        std::vector<std::string> row = {way.policy};
        for (const auto& [kind, calls] : way.kinds) row.push_back(share(calls.n_right, calls.n));
        row.push_back(share(way.all.n_same_first, way.all.n));
        row.push_back(share(way.judges.n_same_first, way.judges.n));
        row.push_back(short_number(way.all.kl_mean()));
        row.push_back(short_number(percentile(way.all.kl, 0.99)));
        row.push_back(share(way.all.n_reusing, way.all.n));
        row.push_back(short_number(100 * way.all.token_reuse()) + " %");
        table.push_back(std::move(row));
    }
    return table;
}

Result<std::vector<TeamFigures>> run_bench(const Options& options, OpenModel& opened,
                                           const std::vector<TeamRun>& runs,
                                           const TeamBenchOptions& bench, const char* name) {
    ProgressBar bar(name, options.quiet);
    return measure_teams(*opened.engine, *opened.text, runs, bench,
                         [&](size_t n_done, size_t n_all) { bar.show(n_done, n_all); });
}

Result<BenchPart> measure_times(const Options& options) {
    const Result<std::filesystem::path> path = model_for_times(options);
    if (!path.ok()) return path.error();
    const TeamShape& shape = options.shape;
    const int n_ctx = shape.prefix_tokens + shape.input_tokens +
                      (shape.n_agents + 1) * (shape.message_tokens + shape.message_tokens / 8) +
                      512;
    const int n_sequences = static_cast<int>(n_team_ways()) * shape.n_agents;
    Result<OpenModel> opened = open_for_bench(*path, options, n_ctx, n_sequences);
    if (!opened) return std::move(opened).error();
    TeamWorkload workload(*opened->text, shape, 1);
    std::vector<TeamRun> runs;
    for (int i = 0; i <= options.rounds; ++i) {
        Result<TeamRun> run = workload.next();
        if (!run) return std::move(run).error();
        runs.push_back(std::move(run).value());
    }
    const auto figures = run_bench(options, *opened, runs, {.n_warm_up = 1}, "agents, times");
    if (!figures.ok()) return figures.error();
    const ModelInfo& info = opened->engine->info();
    BenchPart part;
    part.json = report_head("agents", info, options.threads);
    part.json["setup"] = {{"agents", shape.n_agents},
                          {"prefix_tokens", shape.prefix_tokens},
                          {"input_tokens", shape.input_tokens},
                          {"message_tokens", shape.message_tokens},
                          {"rounds", options.rounds}};
    part.json["rows"] = rows_json(*figures, false);
    part.text = "First token, " + title_of(info) + ", means of " + std::to_string(options.rounds) +
                " rounds:\n\n" + format_table(time_table(*figures));
    return part;
}

Result<BenchPart> measure_answers(const Options& options) {
    const Result<std::filesystem::path> path = model_or_sample(options.model);
    if (!path.ok()) return path.error();
    std::vector<TeamRun> runs;
    for (int i = 0; i < options.tasks; ++i) {
        for (const TeamKind kind : kTeamKinds) {
            Result<TeamTask> task = make_team_task(options.team, kind, static_cast<uint64_t>(i));
            if (!task) return std::move(task).error();
            runs.push_back({std::move(task).value(), std::string(to_string(kind)), false});
        }
    }
    constexpr int kContext = 2048;
    const int n_sequences = static_cast<int>(n_team_ways()) * options.team.n_agents;
    Result<OpenModel> opened = open_for_bench(*path, options, kContext, n_sequences);
    if (!opened) return std::move(opened).error();
    const ModelInfo& info = opened->engine->info();
    TeamBenchOptions bench;
    bench.check_layer = check_layer_of(options.cache_directory, info);
    const auto figures = run_bench(options, *opened, runs, bench, "agents, answers");
    if (!figures.ok()) return figures.error();
    BenchPart part;
    part.json = report_head("agents", info, options.threads);
    part.json["setup"] = {{"agents", options.team.n_agents},
                          {"notes", options.team.n_notes},
                          {"sentences", options.team.sentences_per_note},
                          {"tasks_of_each_kind", options.tasks},
                          {"seed", options.team.seed},
                          {"check_layer", bench.check_layer}};
    part.json["rows"] = rows_json(*figures, true);
    part.text = "Right answers, " + title_of(info) + ", " + std::to_string(options.tasks) +
                " tasks of each kind:\n\n" + format_table(answer_table(*figures));
    return part;
}

int bench_agents(const Options& options) {
    return run_parts(
        "bench agents", options, [&] { return measure_times(options); },
        [&] { return measure_answers(options); });
}

}  // namespace

void add_bench_agents(CLI::App& bench, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = bench.add_subcommand("agents", "Agents that read each other's messages");
    command->footer(kAbout);
    add_part_option(*command, *options);
    const auto number = [&](const char* name, int& value, int least, int most, const char* help) {
        add_number(*command, name, value, least, most, help);
    };
    number("--agents", options->shape.n_agents, 2, 5, "times: of the team");
    number("--prefix", options->shape.prefix_tokens, 64, 4096, "times: tokens of an agent's note");
    number("--input", options->shape.input_tokens, 64, 4096, "times: tokens that all read");
    number("--message", options->shape.message_tokens, 64, 4096, "times: tokens of a message");
    number("--rounds", options->rounds, 1, 1000, "times: measured, behind one warm-up");
    number("--tasks", options->tasks, 1, 10'000, "answers: of each kind");
    number("--team", options->team.n_agents, 2, 5, "answers: agents of the team");
    number("--notes", options->team.n_notes, 1, 10, "answers: notes that all read");
    number("--sentences", options->team.sentences_per_note, 1, 10, "answers: of a note");
    command->add_option("--seed", options->team.seed, "answers: another seed, other tasks")
        ->capture_default_str();
    add_two_part_options(*command, *options);
    command->callback([options, &run] { run = [options] { return bench_agents(*options); }; });
}

}  // namespace spolia
