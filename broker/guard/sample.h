#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "index/token.h"

namespace spolia {

// How far answers may be from dense ones, in plain terms; of distinct prompts.
struct GuardBudget {
    double max_kl = 0.05;         // of the first token's distribution, nats
    double min_agreement = 0.99;  // share of requests whose likeliest first token is the same

    bool operator==(const GuardBudget&) const = default;
};

// The share of requests that must be within max_kl: the 99th percentile is.
inline constexpr double kGuardCoverage = 0.99;

// What a shadow prefill found out about one prompt under one setting of a selector.
struct GuardSample {
    double risk = 1;         // RowChoice::risk, known before compute
    double doubt = 0;        // of the composed first token, known before it is sent; see doubt()
    double kl = 0;           // KL(dense || composed) of the first token, nats
    bool same_first = true;  // both have the same likeliest first token
    uint64_t prompt = 0;     // names the prompt
};

// Compares the logits of a prompt's first token, computed densely and composed.
GuardSample compare_first_token(double risk, std::span<const Token> prompt,
                                std::span<const float> dense, std::span<const float> composed);

// Whether a composed first token is not to be sent. Two tokens that are equally likely leave doubt
// whatever the limit, and so does what is no distribution at all.
bool leaves_doubt(std::span<const float> composed, double max_doubt);

// Not a number is over any budget.
inline bool is_over(double kl, const GuardBudget& budget) { return !(kl <= budget.max_kl); }

// The requests that a setting may serve: neither more risk nor more doubt.
struct GuardRegion {
    double max_risk = std::numeric_limits<double>::infinity();
    double max_doubt = std::numeric_limits<double>::infinity();

    static GuardRegion everything() { return {}; }
    static GuardRegion nothing() { return {-1, -1}; }
    bool empty() const { return max_risk < 0; }
    bool contains(double risk, double doubt) const {
        return risk <= max_risk && doubt <= max_doubt;
    }
    bool operator==(const GuardRegion&) const = default;
};

}  // namespace spolia
