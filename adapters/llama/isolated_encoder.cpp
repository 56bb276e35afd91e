#include "adapters/llama/isolated_encoder.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml.h"

namespace spolia {

struct IsolatedEncoder::Cells {
    int32_t n_cells = 0;
    ggml_context_ptr context;
    std::vector<ggml_backend_buffer_ptr> buffers;  // one a layer, where the layer's weights are
    std::vector<KvSlab> slabs;
};

IsolatedEncoder::IsolatedEncoder(BlendGraph& graph, const DecoderWeights& weights,
                                 const KvLayout& layout, std::span<const Token> sink)
    : graph_(graph), weights_(weights), layout_(layout), sink_(sink) {}

IsolatedEncoder::~IsolatedEncoder() = default;

Status IsolatedEncoder::reserve(int32_t n_cells) {
    if (cells_ && cells_->n_cells >= n_cells) return {};
    cells_.reset();
    auto cells = std::make_unique<Cells>();
    cells->n_cells = (n_cells + 255) / 256 * 256;
    const size_t n_tensors = 2 * static_cast<size_t>(layout_.n_layer);
    cells->context.reset(ggml_init({n_tensors * ggml_tensor_overhead(), nullptr, true}));
    for (const LayerWeights& layer : weights_.layers) {
        KvSlab slab;
        slab.k =
            ggml_new_tensor_2d(cells->context.get(), GGML_TYPE_F16, layout_.k_dim, cells->n_cells);
        slab.v =
            ggml_new_tensor_2d(cells->context.get(), GGML_TYPE_F16, layout_.v_dim, cells->n_cells);
        ggml_backend_dev_t device =
            ggml_backend_buft_get_device(ggml_backend_buffer_get_type(layer.ffn_down->buffer));
        if (device == nullptr) device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
        const size_t k_bytes = ggml_nbytes(slab.k);
        ggml_backend_buffer_ptr buffer(ggml_backend_buft_alloc_buffer(
            ggml_backend_dev_buffer_type(device), k_bytes + ggml_nbytes(slab.v) + 512));
        if (!buffer) {
            return Error{ErrorCode::kOutOfMemory,
                         "no memory to encode a chunk of " + std::to_string(n_cells) + " rows"};
        }
        ggml_backend_buffer_clear(buffer.get(), 0);
        auto* base = static_cast<char*>(ggml_backend_buffer_get_base(buffer.get()));
        ggml_backend_tensor_alloc(buffer.get(), slab.k, base);
        ggml_backend_tensor_alloc(buffer.get(), slab.v, base + (k_bytes + 255) / 256 * 256);
        cells->buffers.push_back(std::move(buffer));
        cells->slabs.push_back(slab);
    }
    cells_ = std::move(cells);
    return {};
}

Result<std::unique_ptr<KvBlock>> IsolatedEncoder::encode(BlockMeta meta, const RopeSpec& rope,
                                                         const PrefillTick& tick) {
    const int32_t n_sink = static_cast<int32_t>(sink_.size());
    const int32_t n_rows = n_sink + meta.n_rows();
    if (Status status = reserve(n_rows); !status) return status.error();

    std::vector<Token> tokens(sink_.begin(), sink_.end());
    tokens.insert(tokens.end(), meta.tokens.begin(), meta.tokens.end());
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    BlendGraph::Pass pass;
    pass.layer_end = layout_.n_layer;
    const size_t batch_rows = static_cast<size_t>(graph_.n_batch_rows());
    for (size_t begin = 0; begin < rows.size(); begin += batch_rows) {
        if (begin > 0 && tick && !tick()) {
            return Error{ErrorCode::kCancelled, "cancelled while a chunk was encoded"};
        }
        const size_t n = std::min(batch_rows, rows.size() - begin);
        const BlendGraph::Batch batch{std::span(rows).subspan(begin, n),
                                      std::span<const Token>(tokens).subspan(begin, n), false};
        if (Status status = graph_.run(pass, batch, cells_->slabs, {}); !status) {
            return status.error();
        }
    }

    auto block = std::make_unique<KvBlock>(std::move(meta));
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        const KvSlab& slab = cells_->slabs[static_cast<size_t>(layer)];
        const size_t first = static_cast<size_t>(n_sink);
        const std::span<uint16_t> k = block->k(layer), v = block->v(layer);
        ggml_backend_tensor_get(slab.k, k.data(), first * layout_.k_row_bytes(), k.size_bytes());
        ggml_backend_tensor_get(slab.v, v.data(), first * layout_.v_row_bytes(), v.size_bytes());
    }
    shift_block(*block, rope, -n_sink);
    return block;
}

size_t IsolatedEncoder::memory_bytes() const {
    return cells_ ? static_cast<size_t>(cells_->n_cells) * layout_.row_bytes() : 0;
}

void shift_block(KvBlock& block, const RopeSpec& rope, int32_t delta) {
    const Rotation rotation(rope, delta);
    for (int32_t layer = 0; layer < block.meta().layout.n_layer; ++layer) {
        uint16_t* k = block.k(layer).data();
        rotate_rows(rotation, k, k, block.n_rows(), block.meta().layout.k_dim);
    }
}

}  // namespace spolia
