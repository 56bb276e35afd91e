#pragma once

#include <span>

#include "index/token.h"

namespace spolia {

// The token that greedy decoding picks; the first of equals.
Token top_token(std::span<const float> logits);

// KL(p || q) in nats, of the distributions that two rows of logits stand for; never negative.
// Infinite where it can't be told, so that a broken row counts as bad.
double kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits);

// How little the likeliest token of a row of logits stands out: 1 - (p1 - p2), with the
// probabilities of the two likeliest ones; 0 .. 1, and 1 where it can't be told.
double doubt(std::span<const float> logits);

}  // namespace spolia
