#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spolia {

// What a question asks of the notes.
enum class TaskKind {
    kSingleFact,    // one sentence says it
    kTwoHops,       // one match to an earlier chunk
    kThreeHops,     // two, over three chunks
    kLatestUpdate,  // what was said first no longer holds
    kCoreference,   // "it", whose ship the chunk before names
    kNegation,      // another sentence says what is not so
    kOrdering,      // which of two ships is named first
    kCounting,      // ships of a cargo, over several chunks
    kCitation,      // which chunk names a ship
    kJudge,         // which of two answers is right
    kMultiTurn,     // a follow-up question
    kLong,          // facts and hops in three times as many chunks
};

inline constexpr std::array kTaskKinds = {
    TaskKind::kSingleFact,  TaskKind::kTwoHops,  TaskKind::kThreeHops, TaskKind::kLatestUpdate,
    TaskKind::kCoreference, TaskKind::kNegation, TaskKind::kOrdering,  TaskKind::kCounting,
    TaskKind::kCitation,    TaskKind::kJudge,    TaskKind::kMultiTurn, TaskKind::kLong};

std::string_view to_string(TaskKind kind);
std::optional<TaskKind> task_kind_from(std::string_view text);

// How far the texts are from bare pairs of words; a small model is trained in this order.
enum class TaskStage {
    kPairs,      // "Mira silk. Tarn Mira."  ? Mira
    kWords,      // "Mira carries silk. Tarn matches Mira."  ? Mira carries
    kSentences,  // ends of sentences and whole questions too
};

std::optional<TaskStage> task_stage_from(std::string_view text);

struct TaskTurn {
    std::string question;
    std::string answer;
};

struct TaskQuestion {
    TaskKind kind = TaskKind::kSingleFact;
    std::vector<TaskTurn> history;  // turns in front of it, after the chunks
    std::string question;
    std::string answer;
    std::vector<int32_t> needs;  // chunks that the answer follows from, ascending
    bool cross = false;          // no chunk alone gives the answer
};

// A place in a chunk where a reader who saw everything in front of it knows a word that is not
// there: additional supervision for a model that is trained.
struct TaskHint {
    int32_t chunk = 0;
    uint32_t end = 0;  // bytes of the chunk in front of the word
    std::string answer;
};

struct Task {
    std::string kind;  // of its questions; "mixed" where they differ
    uint64_t seed = 0;
    std::vector<std::string> chunks;
    std::vector<TaskQuestion> questions;
    std::vector<TaskHint> hints;
};

}  // namespace spolia
