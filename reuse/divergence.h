#pragma once

#include <span>

namespace spolia {

// KL(p || q) in nats, of the distributions that two rows of logits stand for; never negative.
// Infinite where it can't be told, so that a broken row counts as bad.
double kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits);

}  // namespace spolia
