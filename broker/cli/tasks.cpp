#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cli/commands.h"
#include "broker/cli/task_options.h"
#include "broker/tasks/task_generator.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout =
    R"(Writes short notes about ships, a chunk each, and questions whose answers are known: one JSON
object a line, as `spolia bench quality --tasks` reads them.

  {"kind", "seed", "chunks", "questions": [{"kind", "question", "answer", "needs", "cross"}]}

"needs" are the chunks that the answer follows from; where "cross" is true no chunk alone gives it.
Questions of "multi_turn" have the turns in front of them as "history". A prompt is the chunks and
the question, with blank lines between them. The same options give the same lines everywhere.

Examples:
  spolia tasks --kind two_hops --count 1000 --seed 7 > two_hops.jsonl
  spolia tasks --count 12                one of each kind
  spolia tasks --count 0 | head          without end, for a pipe)";

struct Arguments {
    TaskOptions options;
    std::string stage = "sentences";
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

Json json_of(const Task& task, bool with_hints) {
    Json json = {{"kind", task.kind},
                 {"seed", task.seed},
                 {"chunks", task.chunks},
                 {"questions", Json::array()}};
    for (const TaskQuestion& question : task.questions) {
        json["questions"].push_back(json_of(question));
    }
    if (!with_hints) return json;
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
    const auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("tasks", "Write prompts with questions and answers");
    command->footer(kAbout);
    add_task_options(*command, arguments->options);
    command->add_option("--count", arguments->count, "lines, the kinds in turn; 0: without end")
        ->capture_default_str();
    command
        ->add_option("--questions", arguments->options.questions_per_prompt,
                     "of a prompt at most; of all kinds where there are several")
        ->capture_default_str();
    command->add_option("--stage", arguments->stage, "how far texts are from bare pairs of words")
        ->check(CLI::IsMember({"pairs", "words", "sentences"}))
        ->capture_default_str();
    command->add_flag("--hints", arguments->hints, "also what a reader knows where a chunk points");
    command->callback([arguments, &run] { run = [arguments] { return write_tasks(*arguments); }; });
}

}  // namespace spolia
