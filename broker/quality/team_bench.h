#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "broker/quality/team_way.h"
#include "broker/tasks/team.h"
#include "index/result.h"
#include "reuse/engine.h"

namespace spolia {

// dense, prefix, none, cacheblend, anchors: the first computes all rows of every call.
std::vector<TeamSetting> team_settings();
// Behind those, `kvcomm` (KvcommWay) is measured, too.
inline constexpr const char* kKvcomm = "kvcomm";
// How many ways measure_teams() serves every call in: an engine needs so many times as many
// sequences as there are agents.
size_t n_team_ways();

// Calls of one agent, or of all, served in one way.
struct CallFigures {
    int32_t n = 0;
    int32_t n_right = 0;       // answers
    int32_t n_same_first = 0;  // first tokens that are dense's
    int32_t n_reusing = 0;     // calls with rows from blocks
    std::vector<double> kl;    // of the first token, dense to this
    std::vector<double> prompt_ms, keep_ms;
    int64_t n_prompt = 0, n_exact = 0, n_shifted = 0, n_anchored = 0, n_blended = 0;

    double ms_mean() const;
    double keep_ms_mean() const;
    double kl_mean() const;
    // Of all tokens, those that were neither computed nor recomputed.
    double token_reuse() const;
};

struct TeamFigures {
    std::string policy;
    std::vector<CallFigures> agents;           // by their place in the team
    std::map<std::string, CallFigures> kinds;  // of task; empty where tasks have none
    CallFigures judges;
    CallFigures all;
    PoolSize pool;  // at the end
};

struct TeamRun {
    TeamTask task;
    std::string kind;  // "" where it is for times only
    // What the agents say; empty: what they answer, within their message.
    bool says_messages = false;
};

struct TeamBenchOptions {
    int32_t tokens_max = 8;   // of an answer
    int32_t check_layer = 1;  // of the policies
    int32_t n_warm_up = 0;    // runs in front that are not measured
};

// Runs in front that are not yet measured count as well.
using TeamProgress = std::function<void(size_t n_done, size_t n_runs)>;

// Serves every call of every run in all ways, in turn. The prompts are the same in all: messages
// have the answers of the dense way, which comes first.
Result<std::vector<TeamFigures>> measure_teams(Engine& engine, const TextModel& text,
                                               const std::vector<TeamRun>& runs,
                                               const TeamBenchOptions& options,
                                               const TeamProgress& progress);

}  // namespace spolia
