#pragma once

#include <span>
#include <string>
#include <vector>

#include "broker/quality/figures.h"
#include "broker/wire/json.h"

namespace spolia {

using TableRows = std::vector<std::vector<std::string>>;  // the first one is the head

// One object a way, in the form of every bench's rows.
Json quality_rows(std::span<const WayFigures> ways);

// What each way did over all tasks.
TableRows quality_table(std::span<const WayFigures> ways);
// Accuracy of each way by kind of task.
TableRows accuracy_table(std::span<const WayFigures> ways);

// What became of guarded ways' prompts; the head alone where no way is guarded.
TableRows refusal_table(std::span<const WayFigures> ways);

// Numbers to the right, the first column to the left.
std::string markdown_table(const TableRows& rows);

}  // namespace spolia
