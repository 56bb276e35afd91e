#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "index/result.h"
#include "reuse/engine.h"

namespace spolia {

struct GreedyAnswer {
    std::vector<Token> tokens;  // an end token is the last
    std::string output;         // their text, up to a stop string
};

// What greedy decoding makes of the prompt that a sequence holds: up to an end token, `tokens_max`
// at most. The last token gets no row.
Result<GreedyAnswer> greedy_answer(Engine& engine, const TextModel& text, int32_t sequence,
                                   const std::vector<std::string>& stops, int32_t tokens_max);

}  // namespace spolia
