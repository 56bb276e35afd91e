#include "broker/tasks/task_generator.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "broker/tasks/ledger.h"
#include "broker/tasks/phrases.h"
#include "broker/tasks/questions.h"
#include "broker/tasks/words.h"

namespace spolia {
namespace {

constexpr int32_t kLongFactor = 3;  // chunks of kLong
constexpr int kLedgersMax = 200;    // tried for one task
constexpr int kAsksMax = 4;         // for one question that has not been asked yet

bool is_asked(const Task& task, const TaskQuestion& question) {
    return std::ranges::any_of(task.questions, [&](const TaskQuestion& asked) {
        return asked.question == question.question && asked.kind == question.kind;
    });
}

void ask_one(const Ledger& ledger, TaskKind kind, TaskStage stage, TaskRandom& random, Task& task) {
    for (int i = 0; i < kAsksMax; ++i) {
        std::optional<TaskQuestion> question = ask(ledger, kind, stage, random);
        if (!question) return;
        if (is_asked(task, *question)) continue;
        task.questions.push_back(std::move(*question));
        return;
    }
}

int32_t chunk_factor(TaskKind kind) { return kind == TaskKind::kLong ? kLongFactor : 1; }

LedgerShape shape_for(const TaskOptions& options, TaskKind kind) {
    LedgerShape shape;
    shape.n_chunks = options.n_chunks * chunk_factor(kind);
    shape.sentences_per_chunk = options.sentences_per_chunk;
    shape.simple = options.stage == TaskStage::kPairs;
    shape.tails = options.stage == TaskStage::kSentences;
    return shape;
}

Status check_size(const TaskOptions& options, TaskKind kind) {
    const int64_t chunks = int64_t{options.n_chunks} * chunk_factor(kind);
    const int64_t sentences = chunks * options.sentences_per_chunk;
    const auto chunks_max = static_cast<int64_t>(note_labels().size());
    const auto sentences_max = static_cast<int64_t>(ship_names().size());
    if (chunks <= chunks_max && sentences <= sentences_max) return {};
    return invalid("'" + std::string(to_string(kind)) + "' would have " + std::to_string(chunks) +
                   " chunks and " + std::to_string(sentences) + " sentences; at most " +
                   std::to_string(chunks_max) + " and " + std::to_string(sentences_max) +
                   " are possible");
}

}  // namespace

Result<TaskGenerator> TaskGenerator::create(TaskOptions options) {
    if (options.kinds.empty()) return invalid("no kind of task is asked for");
    if (options.n_chunks < 1 || options.sentences_per_chunk < 1 ||
        options.questions_per_prompt < 1) {
        return invalid("chunks, sentences and questions must be at least 1");
    }
    for (const TaskKind kind : options.kinds) {
        if (Status status = check_size(options, kind); !status) return status.error();
    }
    return TaskGenerator(std::move(options));
}

Result<Task> TaskGenerator::next() {
    const std::vector<TaskKind>& kinds = options_.kinds;
    const bool mixed = options_.questions_per_prompt > 1 && kinds.size() > 1;
    const TaskKind first = kinds[index_ % kinds.size()];
    Task task;
    task.kind = mixed ? "mixed" : to_string(first);
    task.seed = mix_seed(options_.seed, index_);
    TaskRandom random(task.seed);
    const LedgerShape shape = shape_for(options_, first);
    for (int i = 0; i < kLedgersMax && task.questions.empty(); ++i) {
        const Ledger ledger = write_ledger(shape, random);
        ask_one(ledger, first, options_.stage, random, task);
        if (task.questions.empty()) continue;
        for (int32_t q = 1; q < options_.questions_per_prompt; ++q) {
            const TaskKind kind =
                mixed ? kinds[(index_ + static_cast<uint64_t>(q)) % kinds.size()] : first;
            ask_one(ledger, kind, options_.stage, random, task);
        }
        task.chunks = chunk_texts(ledger, options_.stage, task.hints);
    }
    if (task.questions.empty()) {
        return invalid("notes of " + std::to_string(shape.n_chunks) + " chunks of " +
                       std::to_string(shape.sentences_per_chunk) +
                       " sentences have nothing to ask for '" + std::string(to_string(first)) +
                       "': give more chunks or sentences");
    }
    ++index_;
    return task;
}

}  // namespace spolia
