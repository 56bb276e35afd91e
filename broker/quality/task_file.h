#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "broker/tasks/task.h"
#include "index/result.h"

namespace spolia {

struct QualityQuestion {
    std::string kind;
    std::vector<TaskTurn> history;  // turns in front of it, behind the chunks
    std::string question;
    std::string answer;
    bool cross = false;  // no chunk alone gives the answer
};

// Chunks and the questions that are asked about them, one a prompt.
struct QualityTask {
    int32_t line = 0;  // of the file, or of what `spolia tasks` writes, from 1
    std::string instructions;
    std::vector<std::string> chunks;
    std::vector<QualityQuestion> questions;
};

inline constexpr int32_t kTaskLinesMax = 100'000;

// Reads tasks as JSON lines; blank lines are skipped:
//
//     {"kind": "two_hops", "instructions": "...", "chunks": ["...", ...],
//      "questions": [{"question": "...", "answer": "...", "cross": true}]}
//
// "instructions" and "cross" may be left out. A question may have a "kind" of its own, and a
// "history" of {"question", "answer"}. Other members are ignored. Errors begin with `name` and the
// line's number.
Result<std::vector<QualityTask>> read_tasks(std::istream& lines, std::string_view name);
// The tasks of a file; "-" is the standard input.
Result<std::vector<QualityTask>> read_task_file(const std::string& path);

}  // namespace spolia
