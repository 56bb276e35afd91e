#include "adapters/llama/rope_params.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "adapters/llama/weights.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"

namespace spolia {
namespace {

Error unsupported(std::string why) { return {ErrorCode::kUnsupported, std::move(why)}; }

// YaRN (arXiv 2309.00071): keep the frequencies that turn often within the original context, scale
// those that don't, blend in between.
double yarn_frequency(const LlamaRope& rope, int32_t pair, double frequency) {
    float bounds[2];
    ggml_rope_yarn_corr_dims(rope.spec.n_rot, rope.n_ctx_orig, rope.freq_base, rope.beta_fast,
                             rope.beta_slow, bounds);
    const double span = std::max(0.001, static_cast<double>(bounds[1]) - bounds[0]);
    const double low = bounds[0];
    const double ramp = 1.0 - std::clamp((pair - low) / span, 0.0, 1.0);
    const double kept = ramp * rope.ext_factor;
    return frequency * rope.freq_scale * (1.0 - kept) + frequency * kept;
}

std::vector<float> read_floats(const ggml_tensor* tensor) {
    std::vector<float> values(static_cast<size_t>(ggml_nelements(tensor)));
    ggml_backend_tensor_get(tensor, values.data(), 0, ggml_nbytes(tensor));
    return values;
}

void read_scaling(const LlamaModel& model, const std::string& type, LlamaRope& rope) {
    double factor = model.arch_number("rope.scaling.factor").value_or(0.0);
    if (factor == 0.0) factor = model.arch_number("rope.scale_linear").value_or(0.0);
    rope.freq_scale = factor == 0.0 || type == "none" ? 1.0f : static_cast<float>(1.0 / factor);
    rope.n_ctx_orig = static_cast<int32_t>(model.arch_number("rope.scaling.original_context_length")
                                               .value_or(llama_model_n_ctx_train(model.get())));
    if (type == "yarn") {
        rope.ext_factor = 1.0f;
        // ggml multiplies by 1 + 0.1 ln(1/scale) once more; llama.cpp cancels that here.
        const float magnitude =
            rope.freq_scale >= 1.0f ? 1.0f : 0.1f * std::log(1.0f / rope.freq_scale) + 1.0f;
        rope.attn_factor = magnitude / (1.0f + 0.1f * std::log(1.0f / rope.freq_scale));
    }
    rope.attn_factor *=
        static_cast<float>(model.arch_number("rope.scaling.attn_factor").value_or(1.0));
}

// Metadata whose effect on the rotation this file does not reproduce.
Status refuse_unknown(const LlamaModel& model, const std::string& type) {
    if (type != "linear" && type != "none" && type != "yarn") {
        return unsupported("rope scaling '" + type + "' depends on the prompt's length");
    }
    for (const char* key : {"rope.scaling.alpha", "rope.scaling.yarn_log_multiplier",
                            "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor",
                            "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"}) {
        if (model.arch_number(key).value_or(0.0) != 0.0) {
            return unsupported(std::string("the model sets ") + key);
        }
    }
    const auto& tensors = model_tensors(model);
    if (tensors.contains("rope_factors_long.weight") ||
        tensors.contains("rope_factors_short.weight")) {
        return unsupported("LongRoPE frequencies depend on the prompt's length");
    }
    return {};
}

}  // namespace

Result<LlamaRope> read_rope(const LlamaModel& model, int32_t head_dim) {
    LlamaRope rope;
    switch (llama_model_rope_type(model.get())) {
        case LLAMA_ROPE_TYPE_NORM: rope.spec.pairs = RopePairs::kInterleaved; break;
        case LLAMA_ROPE_TYPE_NEOX: rope.spec.pairs = RopePairs::kNeox; break;
        case LLAMA_ROPE_TYPE_NONE: rope.spec.pairs = RopePairs::kNone; break;
        default: return unsupported("its rotary embedding has several axes");
    }
    rope.mode = llama_model_rope_type(model.get());
    rope.spec.head_dim = head_dim;
    if (rope.spec.pairs == RopePairs::kNone) return rope;

    const std::string type =
        model.meta(model.architecture() + ".rope.scaling.type").value_or("linear");
    if (Status status = refuse_unknown(model, type); !status) return status.error();
    rope.spec.n_rot =
        static_cast<int32_t>(model.arch_number("rope.dimension_count").value_or(head_dim));
    if (rope.spec.n_rot <= 0 || rope.spec.n_rot > head_dim || rope.spec.n_rot % 2 != 0) {
        return unsupported("rope.dimension_count " + std::to_string(rope.spec.n_rot) +
                           " does not fit heads of " + std::to_string(head_dim));
    }
    rope.freq_base = static_cast<float>(model.arch_number("rope.freq_base").value_or(10000.0));
    read_scaling(model, type, rope);

    const int32_t n_pairs = rope.spec.n_rot / 2;
    std::vector<float> factors(static_cast<size_t>(n_pairs), 1.0f);
    if (const auto& tensors = model_tensors(model); tensors.contains("rope_freqs.weight")) {
        rope.freq_factors = tensors.at("rope_freqs.weight");
        if (rope.freq_factors->type != GGML_TYPE_F32 ||
            ggml_nelements(rope.freq_factors) < n_pairs) {
            return unsupported("rope_freqs.weight has an unexpected type or size");
        }
        factors = read_floats(rope.freq_factors);
    }
    for (int32_t pair = 0; pair < n_pairs; ++pair) {
        const double frequency =
            std::pow(rope.freq_base, -2.0 * pair / rope.spec.n_rot) / factors[pair];
        rope.spec.inv_freq.push_back(rope.ext_factor != 0.0f ? yarn_frequency(rope, pair, frequency)
                                                             : frequency * rope.freq_scale);
    }
    return rope;
}

}  // namespace spolia
