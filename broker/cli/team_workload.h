#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/cli/rag_workload.h"
#include "broker/quality/team_bench.h"
#include "index/result.h"

namespace spolia {

struct TeamShape {
    int n_agents = 5;
    int prefix_tokens = 512;   // of each agent's own note, the same in all runs
    int input_tokens = 1024;   // that all of them read
    int message_tokens = 512;  // of each agent
};

// Runs for times only: sentences of random words, about as many tokens as asked for. Questions name
// two words of the input, as real ones would.
class TeamWorkload {
public:
    TeamWorkload(const TextModel& text, const TeamShape& shape, uint32_t seed)
        : words_(text, seed), shape_(shape) {}

    Result<TeamRun> next();

private:
    RagWorkload words_;
    const TeamShape shape_;
    std::vector<std::string> prefixes_;
};

}  // namespace spolia
