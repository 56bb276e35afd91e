#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "index/result.h"
#include "reuse/engine.h"

namespace spolia {

// Documents that are known, and as they stand in a prompt, with a question about them.
struct EditedDocuments {
    std::vector<std::string> known;
    std::vector<std::string> edited;
    std::string question;
};

struct DonorTimes {
    std::string way;                     // dense, none, cacheblend, adaptive
    std::vector<double> find_ms;         // finding donors: embedding, searching, aligning
    std::vector<double> first_token_ms;  // that, and the prefill
    int64_t n_prompt = 0;
    int64_t n_reused = 0;
    int64_t n_blended = 0;
};

// Times prompts whose chunks are all known in another version only, in each way in turn. The first
// round warms up and does not count.
// `progress` is told how many rounds are done.
Result<std::vector<DonorTimes>> time_donors(Engine& engine, const TextModel& text,
                                            const std::vector<EditedDocuments>& rounds,
                                            const std::function<void(size_t)>& progress);

}  // namespace spolia
