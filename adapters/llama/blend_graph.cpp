#include "adapters/llama/blend_graph.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "adapters/llama/graph_attention.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml.h"

namespace spolia {
namespace {

constexpr int kNodesPerLayer = 64;  // more than a layer and a check make
// What a question's last rows look at says what it asks; more of them cost time and memory.
constexpr int64_t kAttentionRowsMax = 64;
constexpr int64_t kAttentionFloatsMax = int64_t{16} << 20;  // of a layer's weights
constexpr int64_t kFlashCellsPad = 256;  // ggml's GPU kernels want whole tiles of cells

ggml_tensor* add_bias(ggml_context* g, ggml_tensor* x, ggml_tensor* bias) {
    return bias != nullptr ? ggml_add(g, x, bias) : x;
}

}  // namespace

class BlendGraph::Impl {
public:
    Impl(const DecoderWeights& weights, const LlamaRope& rope, const BlendGraphOptions& options)
        : w_(weights), rope_(rope), options_(options) {}

    Status open();
    Status run(const Pass& pass, const Batch& batch, std::span<const KvSlab> slabs,
               const Results& results);
    int32_t n_batch_rows() const { return options_.n_batch_rows; }
    int32_t n_attention_rows(int32_t n_cells) const;
    size_t memory_bytes() const;

private:
    // The tensors of the graph that is being built.
    struct Build {
        ggml_context* g = nullptr;
        ggml_cgraph* graph = nullptr;
        const Pass* pass = nullptr;
        const Batch* batch = nullptr;
        std::span<const KvSlab> slabs;
        int64_t n_rows = 0;
        ggml_tensor* tokens = nullptr;      // i32 [n_rows]
        ggml_tensor* positions = nullptr;   // i32 [n_rows]
        ggml_tensor* cells = nullptr;       // i64 [n_rows], for writes
        ggml_tensor* mask = nullptr;        // f16 [n_cells, n_rows], flash and attention only
        ggml_tensor* deviations = nullptr;  // f32 [1, n_rows]
        ggml_tensor* attention = nullptr;   // f32 [n_cells, n_rows, n_head], of all layers so far
        ggml_tensor* attention_sums = nullptr;  // f32 [1, n_cells]
        ggml_tensor* logits = nullptr;          // f32 [n_vocab, 1]
    };
    struct Heads {
        ggml_tensor* k = nullptr;  // f32 [kv_dim, n_rows], rotated
        ggml_tensor* v = nullptr;
    };

    int32_t n_layer() const { return static_cast<int32_t>(w_.layers.size()); }
    Status open_backends();
    bool use_tiled() const;

    void make_inputs(Build& b);
    void build(Build& b);
    void fill_inputs(const Build& b);
    Status compute(Build& b);

    ggml_tensor* norm(Build& b, ggml_tensor* x, ggml_tensor* weight);
    ggml_tensor* rotate(Build& b, ggml_tensor* heads, ggml_tensor* positions);
    ggml_tensor* project_q(Build& b, const LayerWeights& layer, ggml_tensor* x,
                           ggml_tensor* positions);
    Heads project_kv(Build& b, const LayerWeights& layer, ggml_tensor* x);
    ggml_tensor* cells_of(Build& b, ggml_tensor* root, size_t offset, int64_t n_cells);
    void write_kv(Build& b, int32_t layer, const Heads& fresh, ggml_tensor** k, ggml_tensor** v);
    ggml_tensor* heads_first(Build& b, ggml_tensor* cells);
    ggml_tensor* attend(Build& b, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v,
                        bool last_row_only);
    void add_attention(Build& b, ggml_tensor* q, ggml_tensor* k);
    void sum_attention(Build& b);
    ggml_tensor* feed_forward(Build& b, const LayerWeights& layer, ggml_tensor* x);
    ggml_tensor* layer(Build& b, int32_t index, ggml_tensor* hidden);
    void check_layer(Build& b, int32_t index, ggml_tensor* hidden);
    ggml_tensor* relative_change(Build& b, ggml_tensor* root, size_t offset, ggml_tensor* fresh);
    ggml_tensor* last_row(Build& b, ggml_tensor* x);

    const DecoderWeights& w_;
    const LlamaRope& rope_;
    BlendGraphOptions options_;
    std::vector<ggml_backend_ptr> backends_;
    ggml_backend_sched_ptr sched_;
    std::vector<std::byte> graph_memory_;
    ggml_context_ptr hidden_context_;
    ggml_backend_buffer_ptr hidden_buffer_;
    ggml_tensor* hidden_ = nullptr;  // f32 [n_embd, n_rows_max], a row's state between passes
    std::unique_ptr<GraphAttention> attention_;
    std::vector<int64_t> cell_ids_;
    std::vector<ggml_fp16_t> mask_values_;
};

bool BlendGraph::Impl::use_tiled() const { return attention_ != nullptr; }

Status BlendGraph::Impl::open_backends() {
    std::set<ggml_backend_dev_t> devices;
    const auto add = [&](ggml_backend_dev_t device) -> Status {
        if (device == nullptr || !devices.insert(device).second) return {};
        ggml_backend_ptr backend(ggml_backend_dev_init(device, nullptr));
        if (!backend) {
            return Error{ErrorCode::kUnsupported,
                         std::string("can't open device ") + ggml_backend_dev_name(device)};
        }
        backends_.push_back(std::move(backend));
        return {};
    };
    for (const LayerWeights& layer : w_.layers) {
        const auto type = ggml_backend_buffer_get_type(layer.ffn_down->buffer);
        ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
        if (device == nullptr || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU)
            continue;
        if (Status status = add(device); !status) return status;
    }
    // The scheduler wants the CPU last.
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (Status status = add(cpu); !status) return status;
    const auto set_threads =
        reinterpret_cast<ggml_backend_set_n_threads_t>(ggml_backend_reg_get_proc_address(
            ggml_backend_dev_backend_reg(cpu), "ggml_backend_set_n_threads"));
    if (set_threads != nullptr) set_threads(backends_.back().get(), options_.n_threads);
    return {};
}

Status BlendGraph::Impl::open() {
    if (Status status = open_backends(); !status) return status;
    const bool cpu_only = backends_.size() == 1;
    const bool tiled_possible =
        cpu_only && tiled_attention_supports(w_.head_dim, w_.n_head, w_.n_head_kv);
    if (options_.attention == AttentionKernel::kTiled && !tiled_possible) {
        return Error{ErrorCode::kUnsupported,
                     "the tiled attention kernel does not take this model"};
    }
    if (options_.attention != AttentionKernel::kFlash && tiled_possible) {
        attention_ = std::make_unique<GraphAttention>(w_.head_dim, w_.n_head, w_.n_head_kv,
                                                      w_.attention_scale, options_.n_threads);
    }
    const size_t graph_size = static_cast<size_t>(n_layer() + 2) * kNodesPerLayer;
    std::vector<ggml_backend_t> raw;
    for (const ggml_backend_ptr& backend : backends_) raw.push_back(backend.get());
    sched_.reset(ggml_backend_sched_new(raw.data(), nullptr, static_cast<int>(raw.size()),
                                        graph_size, false, true));
    graph_memory_.resize(ggml_tensor_overhead() * graph_size +
                         ggml_graph_overhead_custom(graph_size, false));

    hidden_context_.reset(ggml_init({2 * ggml_tensor_overhead(), nullptr, true}));
    hidden_ =
        ggml_new_tensor_2d(hidden_context_.get(), GGML_TYPE_F32, w_.n_embd, options_.n_rows_max);
    hidden_buffer_.reset(ggml_backend_alloc_ctx_tensors(hidden_context_.get(), raw.front()));
    if (!sched_ || !hidden_buffer_) {
        return Error{ErrorCode::kOutOfMemory, "no memory for the hidden states of " +
                                                  std::to_string(options_.n_rows_max) + " rows"};
    }
    return {};
}

int32_t BlendGraph::Impl::n_attention_rows(int32_t n_cells) const {
    const int64_t rows_max = std::min<int64_t>(kAttentionRowsMax, options_.n_batch_rows);
    const int64_t affordable = kAttentionFloatsMax / (int64_t{w_.n_head} * n_cells);
    return static_cast<int32_t>(std::clamp<int64_t>(affordable, 1, rows_max));
}

size_t BlendGraph::Impl::memory_bytes() const {
    size_t bytes = ggml_backend_buffer_get_size(hidden_buffer_.get()) + graph_memory_.size();
    for (const ggml_backend_ptr& backend : backends_) {
        bytes += ggml_backend_sched_get_buffer_size(sched_.get(), backend.get());
    }
    return bytes;
}

void BlendGraph::Impl::make_inputs(Build& b) {
    const auto input = [&](ggml_tensor* tensor, const char* name) {
        ggml_set_input(tensor);
        ggml_set_name(tensor, name);
        return tensor;
    };
    if (b.pass->layer_begin == 0) {
        b.tokens = input(ggml_new_tensor_1d(b.g, GGML_TYPE_I32, b.n_rows), "tokens");
    }
    b.positions = input(ggml_new_tensor_1d(b.g, GGML_TYPE_I32, b.n_rows), "positions");
    b.cells = input(ggml_new_tensor_1d(b.g, GGML_TYPE_I64, b.n_rows), "cells");
    if (!use_tiled() || b.pass->attention) {
        const int64_t n_seen = b.batch->rows.back() + 1;
        const int64_t n_cells = std::min<int64_t>(
            (n_seen + kFlashCellsPad - 1) / kFlashCellsPad * kFlashCellsPad, b.slabs[0].k->ne[1]);
        b.mask = input(ggml_new_tensor_2d(b.g, GGML_TYPE_F16, n_cells, b.n_rows), "mask");
    }
}

ggml_tensor* BlendGraph::Impl::norm(Build& b, ggml_tensor* x, ggml_tensor* weight) {
    return ggml_mul(b.g, ggml_rms_norm(b.g, x, w_.norm_eps), weight);
}

ggml_tensor* BlendGraph::Impl::rotate(Build& b, ggml_tensor* heads, ggml_tensor* positions) {
    if (rope_.spec.pairs == RopePairs::kNone) return heads;
    return ggml_rope_ext(b.g, heads, positions, rope_.freq_factors, rope_.spec.n_rot, rope_.mode,
                         rope_.n_ctx_orig, rope_.freq_base, rope_.freq_scale, rope_.ext_factor,
                         rope_.attn_factor, rope_.beta_fast, rope_.beta_slow);
}

ggml_tensor* BlendGraph::Impl::project_q(Build& b, const LayerWeights& layer, ggml_tensor* x,
                                         ggml_tensor* positions) {
    ggml_tensor* q = add_bias(b.g, ggml_mul_mat(b.g, layer.q, x), layer.q_bias);
    q = ggml_reshape_3d(b.g, q, w_.head_dim, w_.n_head, x->ne[1]);
    if (layer.q_norm != nullptr) q = norm(b, q, layer.q_norm);
    return rotate(b, q, positions);
}

BlendGraph::Impl::Heads BlendGraph::Impl::project_kv(Build& b, const LayerWeights& layer,
                                                     ggml_tensor* x) {
    ggml_tensor* k = add_bias(b.g, ggml_mul_mat(b.g, layer.k, x), layer.k_bias);
    k = ggml_reshape_3d(b.g, k, w_.head_dim, w_.n_head_kv, b.n_rows);
    if (layer.k_norm != nullptr) k = norm(b, k, layer.k_norm);
    k = rotate(b, k, b.positions);
    Heads heads;
    heads.k = ggml_reshape_2d(b.g, k, int64_t{w_.head_dim} * w_.n_head_kv, b.n_rows);
    heads.v = add_bias(b.g, ggml_mul_mat(b.g, layer.v, x), layer.v_bias);
    return heads;
}

ggml_tensor* BlendGraph::Impl::cells_of(Build& b, ggml_tensor* root, size_t offset,
                                        int64_t n_cells) {
    return ggml_view_2d(b.g, root, root->ne[0], n_cells, root->nb[1], offset);
}

void BlendGraph::Impl::write_kv(Build& b, int32_t layer, const Heads& fresh, ggml_tensor** k,
                                ggml_tensor** v) {
    const KvSlab& slab = b.slabs[static_cast<size_t>(layer)];
    *k = ggml_set_rows(b.g, cells_of(b, slab.k, slab.k_offset, slab.k->ne[1]), fresh.k, b.cells);
    *v = ggml_set_rows(b.g, cells_of(b, slab.v, slab.v_offset, slab.v->ne[1]), fresh.v, b.cells);
    ggml_build_forward_expand(b.graph, *k);
    ggml_build_forward_expand(b.graph, *v);
}

// The cells that the mask is for: f16 [head_dim, n_cells, n_head_kv].
ggml_tensor* BlendGraph::Impl::heads_first(Build& b, ggml_tensor* cells) {
    return ggml_view_3d(b.g, cells, w_.head_dim, b.mask->ne[0], w_.n_head_kv, cells->nb[1],
                        static_cast<size_t>(w_.head_dim) * ggml_type_size(cells->type), 0);
}

// k, v: matrices of all cells. Returns f32 [head_dim * n_head, rows of q].
ggml_tensor* BlendGraph::Impl::attend(Build& b, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v,
                                      bool last_row_only) {
    if (use_tiled()) {
        const auto rows = b.batch->rows;
        return attention_->node(b.g, q, k, v, last_row_only ? rows.last(1) : rows);
    }
    ggml_tensor* mask = b.mask;
    if (last_row_only) {
        mask = ggml_view_2d(b.g, mask, mask->ne[0], 1, mask->nb[1],
                            static_cast<size_t>(b.n_rows - 1) * mask->nb[1]);
    }
    ggml_tensor* out = ggml_flash_attn_ext(b.g, ggml_permute(b.g, q, 0, 2, 1, 3), heads_first(b, k),
                                           heads_first(b, v), mask, w_.attention_scale, 0.0f, 0.0f);
    ggml_prec_set_acc(out, GGML_PREC_F32);
    return ggml_reshape_2d(b.g, out, int64_t{w_.head_dim} * w_.n_head, q->ne[2]);
}

// Adds one layer's attention weights, which the kernels that attend() uses never write down.
void BlendGraph::Impl::add_attention(Build& b, ggml_tensor* q, ggml_tensor* k) {
    ggml_tensor* scores = ggml_mul_mat(b.g, heads_first(b, k), ggml_permute(b.g, q, 0, 2, 1, 3));
    ggml_prec_set_acc(scores, GGML_PREC_F32);
    ggml_tensor* weights = ggml_soft_max_ext(b.g, scores, b.mask, w_.attention_scale, 0.0f);
    b.attention = b.attention != nullptr ? ggml_add(b.g, b.attention, weights) : weights;
    // Now, not when the sum is asked for: then every layer's queries would be kept until the end.
    ggml_build_forward_expand(b.graph, b.attention);
}

void BlendGraph::Impl::sum_attention(Build& b) {
    const int64_t n_cells = b.attention->ne[0];
    ggml_tensor* by_cell = ggml_cont(b.g, ggml_permute(b.g, b.attention, 2, 0, 1, 3));
    by_cell = ggml_reshape_2d(b.g, by_cell, b.n_rows * w_.n_head, n_cells);
    b.attention_sums = ggml_sum_rows(b.g, by_cell);
    ggml_set_output(b.attention_sums);
    ggml_build_forward_expand(b.graph, b.attention_sums);
}

ggml_tensor* BlendGraph::Impl::feed_forward(Build& b, const LayerWeights& layer, ggml_tensor* x) {
    ggml_tensor* up = add_bias(b.g, ggml_mul_mat(b.g, layer.ffn_up, x), layer.ffn_up_bias);
    ggml_tensor* gate = add_bias(b.g, ggml_mul_mat(b.g, layer.ffn_gate, x), layer.ffn_gate_bias);
    ggml_tensor* inner = ggml_swiglu_split(b.g, gate, up);
    return add_bias(b.g, ggml_mul_mat(b.g, layer.ffn_down, inner), layer.ffn_down_bias);
}

// x: f32 [dim, n_rows].
ggml_tensor* BlendGraph::Impl::last_row(Build& b, ggml_tensor* x) {
    return ggml_view_2d(b.g, x, x->ne[0], 1, x->nb[1],
                        static_cast<size_t>(b.n_rows - 1) * x->nb[1]);
}

// One whole layer. Of the model's last layer only K and V are needed, and the rest for the row
// whose logits are wanted.
ggml_tensor* BlendGraph::Impl::layer(Build& b, int32_t index, ggml_tensor* hidden) {
    const LayerWeights& layer = w_.layers[static_cast<size_t>(index)];
    const bool final_layer = index == n_layer() - 1;
    ggml_tensor* x = norm(b, hidden, layer.attn_norm);

    ggml_tensor *k, *v;
    if (b.pass->kv_ready && index == b.pass->layer_begin) {
        const KvSlab& slab = b.slabs[static_cast<size_t>(index)];
        k = cells_of(b, slab.k, slab.k_offset, slab.k->ne[1]);
        v = cells_of(b, slab.v, slab.v_offset, slab.v->ne[1]);
    } else {
        write_kv(b, index, project_kv(b, layer, x), &k, &v);
    }
    const bool ends_here = final_layer && !b.batch->logits;
    if (ends_here && !b.pass->attention) return nullptr;

    ggml_tensor* positions = b.positions;
    if (final_layer && !ends_here) {
        x = last_row(b, x);
        hidden = last_row(b, hidden);
        positions =
            ggml_view_1d(b.g, positions, 1, static_cast<size_t>(b.n_rows - 1) * sizeof(int32_t));
    }
    ggml_tensor* q = project_q(b, layer, x, positions);
    if (b.pass->attention) add_attention(b, q, k);
    if (ends_here) return nullptr;
    ggml_tensor* mixed = attend(b, q, k, v, final_layer);
    mixed = add_bias(b.g, ggml_mul_mat(b.g, layer.attn_out, mixed), layer.attn_out_bias);
    hidden = ggml_add(b.g, hidden, mixed);
    return ggml_add(b.g, hidden, feed_forward(b, layer, norm(b, hidden, layer.ffn_norm)));
}

// |fresh - cells|^2 / |cells|^2 of each row of the batch: f32 [1, n_rows].
ggml_tensor* BlendGraph::Impl::relative_change(Build& b, ggml_tensor* root, size_t offset,
                                               ggml_tensor* fresh) {
    ggml_tensor* old = ggml_get_rows(b.g, cells_of(b, root, offset, root->ne[1]), b.positions);
    ggml_tensor* change = ggml_sum_rows(b.g, ggml_sqr(b.g, ggml_sub(b.g, fresh, old)));
    return ggml_div(b.g, change, ggml_sum_rows(b.g, ggml_sqr(b.g, old)));
}

void BlendGraph::Impl::check_layer(Build& b, int32_t index, ggml_tensor* hidden) {
    const LayerWeights& layer = w_.layers[static_cast<size_t>(index)];
    const KvSlab& slab = b.slabs[static_cast<size_t>(index)];
    const Heads fresh = project_kv(b, layer, norm(b, hidden, layer.attn_norm));
    const Deviation kind = b.pass->deviation;
    if (kind != Deviation::kValues) {
        b.deviations = relative_change(b, slab.k, slab.k_offset, fresh.k);
    }
    if (kind != Deviation::kKeys) {
        ggml_tensor* values = relative_change(b, slab.v, slab.v_offset, fresh.v);
        b.deviations = b.deviations ? ggml_add(b.g, b.deviations, values) : values;
    }
    ggml_set_output(b.deviations);
    // Nodes run in the order in which they are expanded: the old rows are read before the new ones
    // replace them.
    ggml_build_forward_expand(b.graph, b.deviations);
    ggml_tensor *k, *v;
    write_kv(b, index, fresh, &k, &v);
}

void BlendGraph::Impl::build(Build& b) {
    make_inputs(b);
    ggml_tensor* hidden = b.pass->layer_begin == 0 ? ggml_get_rows(b.g, w_.token_embd, b.tokens)
                                                   : ggml_get_rows(b.g, hidden_, b.positions);
    for (int32_t i = b.pass->layer_begin; i < b.pass->layer_end; ++i) hidden = layer(b, i, hidden);
    if (b.pass->check) check_layer(b, b.pass->layer_end, hidden);
    if (b.pass->attention) sum_attention(b);
    if (b.pass->layer_end < n_layer()) {
        ggml_build_forward_expand(b.graph, ggml_set_rows(b.g, hidden_, hidden, b.cells));
    } else if (b.batch->logits) {
        ggml_tensor* x = norm(b, hidden, w_.output_norm);
        b.logits = add_bias(b.g, ggml_mul_mat(b.g, w_.output, x), w_.output_bias);
        ggml_set_output(b.logits);
        ggml_build_forward_expand(b.graph, b.logits);
    }
}

void BlendGraph::Impl::fill_inputs(const Build& b) {
    const auto rows = b.batch->rows;
    if (b.tokens != nullptr) {
        ggml_backend_tensor_set(b.tokens, b.batch->tokens.data(), 0, b.batch->tokens.size_bytes());
    }
    // Allocated only where the graph uses them.
    if (b.positions->buffer != nullptr) {
        ggml_backend_tensor_set(b.positions, rows.data(), 0, rows.size_bytes());
    }
    if (b.cells->buffer != nullptr) {
        cell_ids_.assign(rows.begin(), rows.end());
        ggml_backend_tensor_set(b.cells, cell_ids_.data(), 0, cell_ids_.size() * sizeof(int64_t));
    }
    if (b.mask != nullptr && b.mask->buffer != nullptr) {
        const size_t n_cells = static_cast<size_t>(b.mask->ne[0]);
        const ggml_fp16_t hidden = ggml_fp32_to_fp16(-std::numeric_limits<float>::infinity());
        mask_values_.assign(n_cells * rows.size(), hidden);
        for (size_t i = 0; i < rows.size(); ++i) {
            const auto begin = mask_values_.begin() + static_cast<std::ptrdiff_t>(i * n_cells);
            std::fill(begin, begin + rows[i] + 1, ggml_fp16_t{0});
        }
        ggml_backend_tensor_set(b.mask, mask_values_.data(), 0,
                                mask_values_.size() * sizeof(ggml_fp16_t));
    }
}

Status BlendGraph::Impl::compute(Build& b) {
    ggml_backend_sched_reset(sched_.get());
    if (!ggml_backend_sched_alloc_graph(sched_.get(), b.graph)) {
        return Error{ErrorCode::kOutOfMemory,
                     "no memory to compute " + std::to_string(b.n_rows) +
                         " rows at once; smaller batches (ubatch) take less"};
    }
    fill_inputs(b);
    if (attention_) attention_->rewind();
    const ggml_status status = ggml_backend_sched_graph_compute(sched_.get(), b.graph);
    if (status != GGML_STATUS_SUCCESS) {
        return Error{ErrorCode::kInternal, std::string("ggml could not compute the pass: ") +
                                               ggml_status_to_string(status)};
    }
    return {};
}

Status BlendGraph::Impl::run(const Pass& pass, const Batch& batch, std::span<const KvSlab> slabs,
                             const Results& results) {
    assert(!batch.rows.empty() && static_cast<int32_t>(batch.rows.size()) <= options_.n_batch_rows);
    assert(!pass.check || pass.layer_end < n_layer());
    assert(!batch.logits || pass.layer_end == n_layer());
    assert(!pass.attention || (!batch.logits && static_cast<int32_t>(batch.rows.size()) <=
                                                    n_attention_rows(batch.rows.back() + 1)));

    const ggml_context_ptr context(ggml_init({graph_memory_.size(), graph_memory_.data(), true}));
    Build b;
    b.g = context.get();
    b.graph =
        ggml_new_graph_custom(b.g, static_cast<size_t>(n_layer() + 2) * kNodesPerLayer, false);
    b.pass = &pass;
    b.batch = &batch;
    b.slabs = slabs;
    b.n_rows = static_cast<int64_t>(batch.rows.size());
    if (attention_) attention_->reset(w_.layers.size());
    build(b);
    // Rows whose last layer has its K and V already, and whose logits nobody wants.
    if (ggml_graph_n_nodes(b.graph) == 0) return {};
    if (Status status = compute(b); !status) return status;
    const auto fetch = [](const ggml_tensor* from, std::span<float> to, size_t n) {
        assert(to.size() >= n);
        ggml_backend_tensor_get(from, to.data(), 0, n * sizeof(float));
    };
    if (pass.check) fetch(b.deviations, results.deviations, batch.rows.size());
    if (pass.attention) {
        fetch(b.attention_sums, results.attention, static_cast<size_t>(batch.rows.back()) + 1);
    }
    if (batch.logits) fetch(b.logits, results.logits, static_cast<size_t>(w_.n_vocab));
    return {};
}

BlendGraph::BlendGraph(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BlendGraph::~BlendGraph() = default;

Result<std::unique_ptr<BlendGraph>> BlendGraph::create(const DecoderWeights& weights,
                                                       const LlamaRope& rope,
                                                       const BlendGraphOptions& options) {
    auto impl = std::make_unique<Impl>(weights, rope, options);
    if (Status status = impl->open(); !status) return status.error();
    return std::unique_ptr<BlendGraph>(new BlendGraph(std::move(impl)));
}

Status BlendGraph::run(const Pass& pass, const Batch& batch, std::span<const KvSlab> slabs,
                       const Results& results) {
    return impl_->run(pass, batch, slabs, results);
}

int32_t BlendGraph::n_batch_rows() const { return impl_->n_batch_rows(); }
int32_t BlendGraph::n_attention_rows(int32_t n_cells) const {
    return impl_->n_attention_rows(n_cells);
}
size_t BlendGraph::memory_bytes() const { return impl_->memory_bytes(); }

}  // namespace spolia
