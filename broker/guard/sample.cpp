#include "broker/guard/sample.h"

#include "index/fingerprint.h"
#include "reuse/divergence.h"

namespace spolia {
GuardSample compare_first_token(double risk, std::span<const Token> prompt,
                                std::span<const float> dense, std::span<const float> composed) {
    return {.risk = risk,
            .doubt = doubt(composed),
            .kl = kl_divergence(dense, composed),
            .same_first = top_token(dense) == top_token(composed),
            .prompt = hash_bytes(std::as_bytes(prompt)).low};
}

bool leaves_doubt(std::span<const float> composed, double max_doubt) {
    const double left = doubt(composed);
    return left >= 1 || left > max_doubt;
}

}  // namespace spolia
