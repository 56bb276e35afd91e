#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace spolia {

// How far an answer may differ from what the model alone would say.
enum class Fidelity : uint8_t {
    kExact,  // only the KV of an equal prefix is reused: what the model alone says, up to rounding
    kGuarded,  // KV of known chunks anywhere, where its divergence is predicted to be under a
               // budget
    kFast,     // KV of known chunks anywhere, with a fixed share recomputed; no guarantee
};

enum class FinishReason : uint8_t {
    kStop,
    kLength,
    kToolCalls,
    kCancelled,
    kDeclined,  // of a prompt that another server asked for and had better compute itself
};

// Why reuse fell short for some tokens of a prompt.
struct Miss {
    // first_sight | fidelity_exact | uncalibrated | not_profitable | no_offsets | ...
    std::string reason;
    int32_t n_tokens = 0;
};

// What happened to each token of a prompt. The token counts add up to n_prompt.
struct Receipt {
    std::string policy;  // dense, exact, or the selector
    std::string fidelity;
    int32_t n_prompt = 0;
    int32_t n_exact = 0;       // KV of an equal prefix, bit by bit
    int32_t n_shifted = 0;     // a known chunk's KV, rotated to its new position
    int32_t n_blended = 0;     // in a known chunk, but recomputed in the new context
    int32_t n_anchored = 0;    // a known chunk's KV as another prompt or answer left it, rotated
    int32_t n_donor = 0;       // equal tokens of a near-identical chunk
    int32_t n_computed = 0;    // computed as if nothing were known
    int32_t n_chunks = 0;      // chunks in the prompt
    int32_t n_chunks_hit = 0;  // of them, those whose KV was used
    std::vector<Miss> misses;
    // Guarded requests. The setting that served it, and the divergence of the first token expected
    // of it, KL in nats; or why none could: uncalibrated | over_budget | in_doubt | demoted. Both
    // are empty where there was nothing to decide.
    std::string rung;
    std::optional<double> predicted_kl;
    std::string fallback;
    // What a shadow prefill found later: the KL, and whether the likeliest first token is the same.
    std::optional<double> measured_kl;
    std::optional<bool> measured_same_first;
    // Milliseconds: waiting for a sequence; placing blocks; finding what to recompute; computing.
    double queue_ms = 0, place_ms = 0, check_ms = 0, compute_ms = 0;
    double prompt_ms = 0;  // the prompt as a whole, without waiting
    double ttft_ms = 0;    // from the request to the first token
};

}  // namespace spolia
