#include "broker/tasks/task.h"

namespace spolia {

std::string_view to_string(TaskKind kind) {
    switch (kind) {
        case TaskKind::kSingleFact: return "single_fact";
        case TaskKind::kTwoHops: return "two_hops";
        case TaskKind::kThreeHops: return "three_hops";
        case TaskKind::kLatestUpdate: return "latest_update";
        case TaskKind::kCoreference: return "coreference";
        case TaskKind::kNegation: return "negation";
        case TaskKind::kOrdering: return "ordering";
        case TaskKind::kCounting: return "counting";
        case TaskKind::kCitation: return "citation";
        case TaskKind::kJudge: return "judge";
        case TaskKind::kMultiTurn: return "multi_turn";
        case TaskKind::kLong: return "long";
    }
    return "";
}

std::optional<TaskKind> task_kind_from(std::string_view text) {
    for (const TaskKind kind : kTaskKinds) {
        if (to_string(kind) == text) return kind;
    }
    return std::nullopt;
}

std::optional<TaskStage> task_stage_from(std::string_view text) {
    if (text == "pairs") return TaskStage::kPairs;
    if (text == "words") return TaskStage::kWords;
    if (text == "sentences") return TaskStage::kSentences;
    return std::nullopt;
}

}  // namespace spolia
