#include "broker/guard/sample.h"

#include <algorithm>

#include "index/fingerprint.h"
#include "reuse/divergence.h"

namespace spolia {
namespace {

auto likeliest(std::span<const float> logits) {
    return std::ranges::max_element(logits) - logits.begin();
}

}  // namespace

GuardSample compare_first_token(double risk, std::span<const Token> prompt,
                                std::span<const float> dense, std::span<const float> composed) {
    return {.risk = risk,
            .doubt = doubt(composed),
            .kl = kl_divergence(dense, composed),
            .same_first = likeliest(dense) == likeliest(composed),
            .prompt = hash_bytes(std::as_bytes(prompt)).low};
}

}  // namespace spolia
