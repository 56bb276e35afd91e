#include "reuse/divergence.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace spolia {
namespace {

double log_sum_exp(std::span<const float> logits) {
    const double largest = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit - largest);
    return largest + std::log(sum);
}

}  // namespace

Token top_token(std::span<const float> logits) {
    return static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
}

double kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits) {
    assert(p_logits.size() == q_logits.size() && !p_logits.empty());
    const double p_sum = log_sum_exp(p_logits);
    const double q_sum = log_sum_exp(q_logits);
    double kl = 0;
    for (size_t i = 0; i < p_logits.size(); ++i) {
        const double log_p = p_logits[i] - p_sum;
        const double p = std::exp(log_p);
        // Not p > 0, which would pass over what is not a number.
        if (p != 0) kl += p * (log_p - (q_logits[i] - q_sum));
    }
    return std::isnan(kl) ? std::numeric_limits<double>::infinity() : std::max(kl, 0.0);
}

double doubt(std::span<const float> logits) {
    assert(!logits.empty());
    const double sum = log_sum_exp(logits);
    double first = 0, second = 0;
    for (const float logit : logits) {
        const double p = std::exp(logit - sum);
        if (p > first) {
            second = first;
            first = p;
        } else {
            second = std::max(second, p);
        }
    }
    return !std::isfinite(sum) ? 1 : 1 - (first - second);
}

}  // namespace spolia
