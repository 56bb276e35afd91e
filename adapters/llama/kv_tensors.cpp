#include "adapters/llama/kv_tensors.h"

#include <cstdio>
#include <string>

#include "ggml-backend.h"
#include "ggml.h"

namespace spolia {
namespace {

// K and V of layer i are named cache_k_l<i> and cache_v_l<i>.
int parse_layer(const char* name, const char* format) {
    int layer = -1;
    return std::sscanf(name, format, &layer) == 1 ? layer : -1;
}

void put(std::vector<ggml_tensor*>& list, int layer, ggml_tensor* tensor) {
    if (static_cast<size_t>(layer) >= list.size()) list.resize(static_cast<size_t>(layer) + 1);
    list[static_cast<size_t>(layer)] = tensor;
}

Error unexpected(const std::string& what) {
    return {ErrorCode::kUnsupported, "llama.cpp's KV cache is not laid out as expected: " + what};
}

}  // namespace

bool KvTensors::on_eval(ggml_tensor* node, bool ask, void* self) {
    auto* tensors = static_cast<KvTensors*>(self);
    if (ask && !tensors->complete_ && node->op == GGML_OP_SET_ROWS && node->view_src != nullptr) {
        tensors->keep(node->view_src);
    }
    return !ask;  // never asks for a node's data; goes on otherwise
}

void KvTensors::keep(ggml_tensor* root) {
    if (const int layer = parse_layer(root->name, "cache_k_l%d"); layer >= 0) put(k_, layer, root);
    if (const int layer = parse_layer(root->name, "cache_v_l%d"); layer >= 0) put(v_, layer, root);
}

Status KvTensors::complete(const KvLayout& layout, int32_t n_sequences, int32_t n_cells) {
    const size_t n_layer = static_cast<size_t>(layout.n_layer);
    if (k_.size() != n_layer || v_.size() != n_layer) {
        return unexpected("saw " + std::to_string(k_.size()) + " K and " +
                          std::to_string(v_.size()) + " V tensors for " + std::to_string(n_layer) +
                          " layers");
    }
    on_host_ = true;
    for (size_t i = 0; i < n_layer; ++i) {
        if (k_[i] == nullptr || v_[i] == nullptr) {
            return unexpected("layer " + std::to_string(i) + " was not seen");
        }
        for (const auto& [tensor, dim] : {std::pair{k_[i], layout.k_dim}, {v_[i], layout.v_dim}}) {
            if (tensor->type != GGML_TYPE_F16 || tensor->ne[0] != dim || tensor->ne[1] != n_cells ||
                tensor->ne[2] != n_sequences || !ggml_is_contiguous(tensor)) {
                return unexpected(std::string(tensor->name) + " has another shape or type");
            }
            on_host_ = on_host_ && ggml_backend_buffer_is_host(tensor->buffer);
        }
    }
    complete_ = true;
    return {};
}

KvSlab KvTensors::slab(int32_t layer, int32_t sequence) const {
    KvSlab slab;
    slab.k = k_[static_cast<size_t>(layer)];
    slab.v = v_[static_cast<size_t>(layer)];
    slab.k_offset = static_cast<size_t>(sequence) * slab.k->nb[2];
    slab.v_offset = static_cast<size_t>(sequence) * slab.v->nb[2];
    return slab;
}

void KvTensors::read(int32_t layer, int32_t sequence, int32_t row, std::span<uint16_t> k,
                     std::span<uint16_t> v) const {
    const KvSlab from = slab(layer, sequence);
    const size_t cell = static_cast<size_t>(row);
    ggml_backend_tensor_get(from.k, k.data(), from.k_offset + cell * from.k->nb[1], k.size_bytes());
    ggml_backend_tensor_get(from.v, v.data(), from.v_offset + cell * from.v->nb[1], v.size_bytes());
}

}  // namespace spolia
