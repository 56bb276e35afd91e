#include "adapters/llama/weights.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "ggml.h"
#include "llama.h"

// Exported by libllama (v0.5.0, src/llama-model.h), but in none of its installed headers.
const std::vector<std::pair<std::string, ggml_tensor*>>& llama_internal_get_tensor_map(
    const llama_model* model);

namespace spolia {
namespace {

Error unsupported(std::string why) { return {ErrorCode::kUnsupported, std::move(why)}; }

// Hands out tensors by name and knows which were never asked for.
class TensorTable {
public:
    explicit TensorTable(const LlamaModel& model) : tensors_(model_tensors(model)) {}

    ggml_tensor* optional(const std::string& name) {
        const auto found = tensors_.find(name);
        if (found == tensors_.end()) return nullptr;
        used_.insert(name);
        return found->second;
    }
    ggml_tensor* required(const std::string& name) {
        ggml_tensor* tensor = optional(name);
        if (tensor == nullptr && missing_.empty()) missing_ = name;
        return tensor;
    }
    const std::string& missing() const { return missing_; }
    // A tensor that nothing asked for would change the result if llama.cpp uses it.
    std::string unused() const {
        for (const auto& [name, tensor] : tensors_) {
            if (!used_.contains(name)) return name;
        }
        return {};
    }

private:
    std::unordered_map<std::string, ggml_tensor*> tensors_;
    std::set<std::string> used_;
    std::string missing_;
};

LayerWeights bind_layer(TensorTable& table, int32_t layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    const auto required = [&](const char* name) { return table.required(prefix + name); };
    const auto optional = [&](const char* name) { return table.optional(prefix + name); };
    LayerWeights w;
    w.attn_norm = required("attn_norm.weight");
    w.q = required("attn_q.weight");
    w.k = required("attn_k.weight");
    w.v = required("attn_v.weight");
    w.q_bias = optional("attn_q.bias");
    w.k_bias = optional("attn_k.bias");
    w.v_bias = optional("attn_v.bias");
    w.q_norm = optional("attn_q_norm.weight");
    w.k_norm = optional("attn_k_norm.weight");
    w.attn_out = required("attn_output.weight");
    w.attn_out_bias = optional("attn_output.bias");
    w.ffn_norm = required("ffn_norm.weight");
    w.ffn_gate = required("ffn_gate.weight");
    w.ffn_up = required("ffn_up.weight");
    w.ffn_down = required("ffn_down.weight");
    w.ffn_gate_bias = optional("ffn_gate.bias");
    w.ffn_up_bias = optional("ffn_up.bias");
    w.ffn_down_bias = optional("ffn_down.bias");
    return w;
}

Status check_shapes(const DecoderWeights& w) {
    const int64_t q_dim = int64_t{w.n_head} * w.head_dim;
    const int64_t kv_dim = int64_t{w.n_head_kv} * w.head_dim;
    const auto fits = [](const ggml_tensor* t, int64_t columns, int64_t rows) {
        return t->ne[0] == columns && t->ne[1] == rows;
    };
    for (size_t i = 0; i < w.layers.size(); ++i) {
        const LayerWeights& layer = w.layers[i];
        if (!fits(layer.q, w.n_embd, q_dim) || !fits(layer.k, w.n_embd, kv_dim) ||
            !fits(layer.v, w.n_embd, kv_dim) || !fits(layer.attn_out, q_dim, w.n_embd)) {
            return unsupported("layer " + std::to_string(i) + " has other head counts or sizes");
        }
    }
    return {};
}

Status check_architecture(const LlamaModel& model) {
    const std::string architecture = model.architecture();
    if (architecture != "llama" && architecture != "qwen2" && architecture != "qwen3") {
        return unsupported("no fused pass for architecture '" + architecture +
                           "' (there is one for llama, mistral, qwen2 and qwen3)");
    }
    if (llama_model_n_swa(model.get()) > 0) return unsupported("sliding-window attention");
    if (model.arch_number("expert_count").value_or(0) > 0) return unsupported("mixture of experts");
    for (const char* key :
         {"attention.scale", "residual_scale", "embedding_scale", "logit_scale"}) {
        if (model.arch_number(key).value_or(0) != 0) {
            return unsupported(std::string("the model sets ") + key);
        }
    }
    return {};
}

}  // namespace

std::unordered_map<std::string, ggml_tensor*> model_tensors(const LlamaModel& model) {
    const auto& list = llama_internal_get_tensor_map(model.get());
    return {list.begin(), list.end()};
}

bool products_round(const LlamaModel& model) {
    return std::ranges::any_of(llama_internal_get_tensor_map(model.get()), [](const auto& named) {
        const ggml_tensor* tensor = named.second;
        return tensor->ne[1] > 1 && tensor->type != GGML_TYPE_F32;
    });
}

Result<DecoderWeights> bind_weights(const LlamaModel& model) {
    if (Status status = check_architecture(model); !status) return status.error();
    DecoderWeights w;
    w.n_embd = llama_model_n_embd(model.get());
    w.n_head = llama_model_n_head(model.get());
    w.n_head_kv = llama_model_n_head_kv(model.get());
    w.head_dim = static_cast<int32_t>(
        model.arch_number("attention.key_length").value_or(w.n_embd / w.n_head));
    w.n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model.get()));
    w.norm_eps =
        static_cast<float>(model.arch_number("attention.layer_norm_rms_epsilon").value_or(0.0));
    w.attention_scale = 1.0f / std::sqrt(static_cast<float>(w.head_dim));

    TensorTable table(model);
    w.token_embd = table.required("token_embd.weight");
    w.output_norm = table.required("output_norm.weight");
    w.output = table.optional("output.weight");
    if (w.output == nullptr) w.output = w.token_embd;
    w.output_bias = table.optional("output.bias");
    table.optional("rope_freqs.weight");
    for (int32_t i = 0; i < llama_model_n_layer(model.get()); ++i) {
        w.layers.push_back(bind_layer(table, i));
    }
    if (!table.missing().empty()) return unsupported("the model has no tensor " + table.missing());
    if (std::string name = table.unused(); !name.empty()) {
        return unsupported("the fused pass does not know tensor " + name);
    }
    if (Status status = check_shapes(w); !status) return status.error();
    return w;
}

}  // namespace spolia
