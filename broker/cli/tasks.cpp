#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cli/commands.h"
#include "broker/tasks/task_generator.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout = R"(Writes prompts with questions whose answers are known, one JSON
object a line: {"kind", "seed", "instructions", "chunks", "questions": [{"kind", "question",
"answer", "needs", "cross"}]}. `needs` are the chunks that the answer follows from; where `cross` is
true no chunk alone gives it. "multi_turn" questions have the turns in front of them as `history`.
The same options give the same lines everywhere.

A prompt is the chunks and the question, with blank lines between them.)";

constexpr const char* kExamples = R"(Examples:
  spolia tasks --kind two_hops --count 1000 --seed 7 > two_hops.jsonl
  spolia tasks --count 12                      one of each kind
  spolia tasks --count 0 | head                without end, for a pipe)";

struct Arguments {
    TaskOptions options;
    std::vector<std::string> kinds;
    std::string stage = "sentences";
    std::string format = "json";
    uint64_t count = 12;
    bool hints = false;
};

Json json_of(const TaskQuestion& question) {
    Json json = {{"kind", to_string(question.kind)}};
    if (!question.history.empty()) json["history"] = Json::array();
    for (const TaskTurn& turn : question.history) {
        json["history"].push_back({{"question", turn.question}, {"answer", turn.answer}});
    }
    json["question"] = question.question;
    json["answer"] = question.answer;
    json["needs"] = question.needs;
    json["cross"] = question.cross;
    return json;
}

Json json_of(const Task& task, bool hints) {
    Json json = {{"kind", task.kind},
                 {"seed", task.seed},
                 {"instructions", task.instructions},
                 {"chunks", task.chunks},
                 {"questions", Json::array()}};
    for (const TaskQuestion& question : task.questions) {
        json["questions"].push_back(json_of(question));
    }
    if (!hints) return json;
    json["hints"] = Json::array();
    for (const TaskHint& hint : task.hints) {
        json["hints"].push_back(
            {{"chunk", hint.chunk}, {"end", hint.end}, {"answer", hint.answer}});
    }
    return json;
}

int fail(const Error& error) {
    std::fprintf(stderr, "spolia tasks: %s\n", error.message.c_str());
    return kExitUsage;
}

int write_tasks(const Arguments& arguments) {
    TaskOptions options = arguments.options;
    for (const std::string& name : arguments.kinds) options.kinds.push_back(*task_kind_from(name));
    if (options.kinds.empty()) options.kinds.assign(kTaskKinds.begin(), kTaskKinds.end());
    options.stage = *task_stage_from(arguments.stage);
    Result<TaskGenerator> generator = TaskGenerator::create(options);
    if (!generator) return fail(generator.error());
    for (uint64_t i = 0; arguments.count == 0 || i < arguments.count; ++i) {
        const Result<Task> task = generator->next();
        if (!task) return fail(task.error());
        const std::string line = json_of(*task, arguments.hints).dump() + '\n';
        if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size()) return kExitFailure;
    }
    return std::fflush(stdout) == 0 ? kExitOk : kExitFailure;
}

}  // namespace

void add_tasks(CLI::App& app, Run& run) {
    CLI::App* command = app.add_subcommand("tasks", "Write questions that a cache may not change");
    const auto arguments = std::make_shared<Arguments>();
    std::vector<std::string> names;
    for (const TaskKind kind : kTaskKinds) names.emplace_back(to_string(kind));
    TaskOptions& options = arguments->options;
    command->description(kAbout);
    command->footer(kExamples);
    command->add_option("--kind", arguments->kinds, "a kind of task; may be repeated (all)")
        ->check(CLI::IsMember(names))
        ->take_all();
    command->add_option("--count", arguments->count, "lines; 0: without end")
        ->capture_default_str();
    command->add_option("--seed", options.seed, "another seed, other tasks")->capture_default_str();
    command->add_option("--chunks", options.n_chunks, "chunks a prompt")->capture_default_str();
    command->add_option("--sentences-per-chunk", options.sentences_per_chunk)
        ->capture_default_str();
    command->add_option("--questions-per-prompt", options.questions_per_prompt, "at most")
        ->capture_default_str();
    command->add_option("--stage", arguments->stage, "how far the texts are from bare pairs")
        ->check(CLI::IsMember({"pairs", "words", "sentences"}))
        ->capture_default_str();
    command->add_flag("--hints", arguments->hints, "also what a reader knows where a chunk points");
    command->add_option("--format", arguments->format)
        ->check(CLI::IsMember({"json"}))
        ->capture_default_str();
    command->callback([arguments, &run] { run = [arguments] { return write_tasks(*arguments); }; });
}

}  // namespace spolia
