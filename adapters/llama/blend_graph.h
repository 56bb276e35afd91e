#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "adapters/llama/kv_tensors.h"
#include "adapters/llama/rope_params.h"
#include "adapters/llama/weights.h"
#include "index/result.h"
#include "index/token.h"
#include "reuse/selector.h"

namespace spolia {

enum class AttentionKernel : uint8_t {
    kAuto,   // tiled where rows are in host memory, else flash
    kTiled,  // tiled_attention.h; CPU only
    kFlash,  // ggml_flash_attn_ext with a mask of positions
};

struct BlendGraphOptions {
    int32_t n_threads = 1;
    int32_t n_batch_rows = 512;
    int32_t n_rows_max = 0;  // rows of a sequence
    AttentionKernel attention = AttentionKernel::kAuto;
};

// Computes chosen rows of a sequence, layer by layer, against K and V rows that stand in cells of
// the same number: a forward pass of the loaded model over scattered rows, on its own weights, in
// the KV tensors of the llama context itself. A row sees all cells up to its own.
//
// One pass covers a range of layers and is run batch by batch in ascending row order; a row's
// hidden state between passes stays on the device. A layer's fresh K and V replace those in the
// cells.
class BlendGraph {
public:
    struct Pass {
        int32_t layer_begin = 0;  // 0: starts from token embeddings; else from hidden states
        int32_t layer_end = 0;    // one past the last layer that is computed whole
        // The cells of layer_begin have these rows' K and V already (from check_layer of the pass
        // before).
        bool kv_ready = false;
        // Also computes K and V of layer_end, writes them to the cells, and gives the deviation
        // from what was there. Requires layer_end < n_layer.
        bool check = false;
        Deviation deviation = Deviation::kBoth;
        // Also gives what the batch's rows attend to, summed over them, heads and layers. For
        // batches of at most n_attention_rows().
        bool attention = false;
    };

    struct Batch {
        std::span<const int32_t> rows;  // ascending, at most n_batch_rows
        std::span<const Token> tokens;  // the rows' tokens; only used when layer_begin is 0
        // Of the last row; needs layer_end == n_layer. Not together with Pass::attention.
        bool logits = false;
    };

    // What a batch gives, into memory of the caller; empty where it is not asked for.
    struct Results {
        std::span<float> deviations = {};  // pass.check: one a row
        std::span<float> attention = {};   // pass.attention: one a cell, up to the last row's
        std::span<float> logits = {};      // batch.logits: n_vocab
    };

    // Fails with kOutOfMemory or kUnsupported (no backend runs an operation).
    static Result<std::unique_ptr<BlendGraph>> create(const DecoderWeights& weights,
                                                      const LlamaRope& rope,
                                                      const BlendGraphOptions& options);
    ~BlendGraph();
    BlendGraph(const BlendGraph&) = delete;
    BlendGraph& operator=(const BlendGraph&) = delete;

    // Runs one batch of a pass over the cells that `slabs` (one a layer) name.
    Status run(const Pass& pass, const Batch& batch, std::span<const KvSlab> slabs,
               const Results& results);

    int32_t n_batch_rows() const;
    // Rows of a batch whose attention to `n_cells` cells is summed up: it is written down for every
    // head, which is why there are few.
    int32_t n_attention_rows(int32_t n_cells) const;
    // Bytes of compute buffers and hidden states.
    size_t memory_bytes() const;

private:
    class Impl;
    explicit BlendGraph(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace spolia
