#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "anchors/anchor.h"
#include "broker/core/donor.h"
#include "broker/core/guard_trace.h"
#include "broker/core/reuse_policy.h"
#include "broker/core/text_assembler.h"
#include "broker/request.h"
#include "broker/service.h"
#include "index/outline.h"
#include "index/segment.h"

namespace spolia {

using Clock = std::chrono::steady_clock;

inline double ms_between(Clock::time_point begin, Clock::time_point end) {
    return std::chrono::duration<double, std::milli>(end - begin).count();
}

// A prompt, cut into segments and keyed: all that planning needs to know of a request.
struct PreparedPrompt {
    std::string tenant;
    std::vector<Token> tokens;
    std::vector<Segment> segments;
    std::vector<Key128> page_keys;
    PromptOutline outline;
    std::vector<ContextChunk> chunks;  // those among the segments, where anchors are wanted
    std::vector<Donor> donors;         // for chunks that are nowhere
    bool unmapped = false;             // see PlanInput
    ReusePolicy policy;
};

// One request from its arrival to its end. Made by the thread that submits it, then the engine
// thread's alone.
struct Generation {
    Generation(PreparedPrompt prepared, std::unique_ptr<Sampler> token_sampler,
               std::vector<std::string> stops)
        : prompt(std::move(prepared)), sampler(std::move(token_sampler)), text(std::move(stops)) {}

    GenerationId id = 0;
    std::string request_id;  // the client's name for it
    PreparedPrompt prompt;
    std::unique_ptr<Sampler> sampler;
    TextAssembler text;
    std::shared_ptr<GenerateSink> sink;
    int32_t tokens_max = -1;
    bool ignore_end = false;
    std::optional<Handover> handover;
    Clock::time_point submitted = Clock::now();

    int32_t sequence = -1;
    Token last_token = 0;  // sampled, not yet in the sequence
    int32_t n_generated = 0;
    Clock::time_point first_token_at;
    Receipt receipt;
    GuardTrace guard_trace;
    PromptPlan plan;  // as it was served
};

}  // namespace spolia
