#pragma once

#include <cstdint>
#include <span>

#include "adapters/llama/blend_graph.h"
#include "adapters/llama/isolated_encoder.h"
#include "adapters/llama/sequence_cache.h"
#include "index/result.h"

namespace spolia {

// What the gate measured, for reports.
struct GateReport {
    double full_kl = 0.0;  // first-token KL of recomputing every row against llama_decode
    double rotation_error =
        0.0;  // worst layer's |rotated - encoded there|^2 / |encoded there|^2 of K
};

inline constexpr double kGateKlMax = 1e-3;
inline constexpr double kGateRotationErrorMax = 1e-3;

// Run once for a loaded model, before any block is trusted: recomputing every row must give
// llama_decode's logits, and a block that was rotated to a position must equal the same chunk
// encoded there. kUnsupported with the figures when it doesn't hold. Leaves all sequences empty.
// `graph` and `encoder` are null for models without a fused pass; then only the rotation is
// checked.
Status run_load_gate(SequenceCache& cache, const RopeSpec& rope, std::span<const Token> tokens,
                     std::span<const Token> sink, BlendGraph* graph, IsolatedEncoder* encoder,
                     GateReport& report);

// KL(p || q) of the distributions of two rows of logits, in nats.
double kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits);

}  // namespace spolia
