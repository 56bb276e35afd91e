#include "adapters/llama/graph_attention.h"

#include <cassert>
#include <new>

#include "ggml.h"

namespace spolia {
namespace {
constexpr std::align_val_t kAlignment{64};
}

void GraphAttention::AlignedFree::operator()(std::byte* pointer) const {
    ::operator delete[](pointer, kAlignment);
}

GraphAttention::GraphAttention(int32_t head_dim, int32_t n_head, int32_t n_head_kv, float scale,
                               int32_t n_threads) {
    shape_.head_dim = head_dim;
    shape_.n_head = n_head;
    shape_.n_head_kv = n_head_kv;
    shape_.scale = scale;
    const size_t bytes = tiled_attention_scratch_bytes(shape_);
    for (int32_t i = 0; i < n_threads; ++i) {
        scratch_.emplace_back(static_cast<std::byte*>(::operator new[](bytes, kAlignment)));
    }
}

void GraphAttention::reset(size_t n_nodes_max) {
    if (n_nodes_max > n_calls_max_) {
        calls_ = std::make_unique<Call[]>(n_nodes_max);
        n_calls_max_ = n_nodes_max;
    }
    n_calls_ = 0;
}

void GraphAttention::rewind() {
    for (size_t i = 0; i < n_calls_; ++i) calls_[i].next = 0;
}

ggml_tensor* GraphAttention::node(ggml_context* context, ggml_tensor* q, ggml_tensor* k,
                                  ggml_tensor* v, std::span<const int32_t> positions) {
    assert(n_calls_ < n_calls_max_);
    Call& call = calls_[n_calls_++];
    call.owner = this;
    call.positions = positions;
    ggml_tensor* args[] = {q, k, v};
    return ggml_custom_4d(context, GGML_TYPE_F32, q->ne[0] * q->ne[1], q->ne[2], 1, 1, args, 3,
                          compute, static_cast<int>(scratch_.size()), &call);
}

void GraphAttention::compute(ggml_tensor* target, int thread, int, void* user) {
    Call& call = *static_cast<Call*>(user);
    const ggml_tensor* q = target->src[0];
    const ggml_tensor* k = target->src[1];
    const ggml_tensor* v = target->src[2];
    AttentionInput input = call.owner->shape_;
    input.n_rows = static_cast<int32_t>(q->ne[2]);
    input.q = static_cast<const float*>(q->data);
    input.positions = call.positions.data();
    input.k = static_cast<const uint16_t*>(k->data);
    input.v = static_cast<const uint16_t*>(v->data);
    input.k_stride = k->nb[1] / sizeof(uint16_t);
    input.v_stride = v->nb[1] / sizeof(uint16_t);
    input.out = static_cast<float*>(target->data);
    // Later rows see more cells, so the long items are handed out first.
    const int32_t n_items = tiled_attention_items(input);
    for (int32_t taken = call.next++; taken < n_items; taken = call.next++) {
        const int32_t item = n_items - 1 - taken;
        tiled_attention(input, item, item + 1, call.owner->scratch_[thread].get());
    }
}

}  // namespace spolia
