#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "index/result.h"

namespace spolia {

// Documents and questions of a given length in tokens, for benches: random words, the same for the
// same seed.
class RagWorkload {
public:
    RagWorkload(const TextModel& text, uint32_t seed) : text_(text), random_(seed) {}

    // Text of exactly n_tokens tokens when it stands alone.
    Result<std::string> document(int32_t n_tokens);
    // About as many, in sentences.
    Result<std::string> sentences(int32_t n_tokens);
    // The documents in a random order that starts with none of `not_first`'s documents, as long as
    // there is another.
    std::vector<std::string> shuffled(std::vector<std::string> documents,
                                      const std::vector<std::string>& not_first);

private:
    std::string word();

    const TextModel& text_;
    std::mt19937 random_;
};

}  // namespace spolia
