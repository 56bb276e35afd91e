#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/tasks/ledger.h"
#include "broker/tasks/task.h"

namespace spolia {

// The ledger's chunks as text. Appends to `hints` what a reader knows where a sentence points.
std::vector<std::string> chunk_texts(const Ledger& ledger, TaskStage stage,
                                     std::vector<TaskHint>& hints);

std::string ship_text(int32_t ship);
std::string cargo_text(int32_t cargo);

// "What does Mira carry?"; short forms in the stages before sentences.
std::string cargo_question(int32_t ship, TaskStage stage);

}  // namespace spolia
