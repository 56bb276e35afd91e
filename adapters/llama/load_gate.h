#pragma once

#include <cstdint>
#include <span>

#include "adapters/llama/blend_graph.h"
#include "adapters/llama/isolated_encoder.h"
#include "adapters/llama/sequence_cache.h"
#include "index/result.h"
#include "reuse/divergence.h"

namespace spolia {

// What the gate measured, for reports.
struct GateReport {
    double full_kl = 0.0;  // first-token KL of recomputing every row against llama_decode
    // |rotated - encoded there|^2 / |encoded there|^2 of layer 0's K, which depends on nothing but
    // token and position, and the worst of all layers' K and V.
    double rotation_error = 0.0;
    double block_error = 0.0;

    double full_kl_max = 0.0;  // the bounds that held for this model
    double block_error_max = 0.0;
};

inline constexpr double kGateKlMax = 1e-3;
inline constexpr double kGateRotationErrorMax = 1e-3;
inline constexpr double kGateBlockErrorMax = 1e-3;
// Where matrix products round their inputs, two ways to the same row drift apart from layer to
// layer: by 1.3e-3 over 48 layers of Q8_0. A layer that is rotated wrongly is off by about 1.
inline constexpr double kGateRoundedKlMax = 1e-2;
inline constexpr double kGateRoundedBlockErrorMax = 3e-2;

// Run once for a loaded model, before any block is trusted: recomputing every row must give
// llama_decode's logits, and a block that was rotated to a position must equal the same chunk
// encoded there. kUnsupported with the figures when it doesn't hold. Leaves all sequences empty.
// `graph` and `encoder` are null for models without a fused pass; then only the rotation is
// checked. `rounded`: see products_round().
Status run_load_gate(SequenceCache& cache, const RopeSpec& rope, std::span<const Token> tokens,
                     std::span<const Token> sink, BlendGraph* graph, IsolatedEncoder* encoder,
                     bool rounded, GateReport& report);

}  // namespace spolia
