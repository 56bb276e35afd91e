#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "adapters/llama/tiled_attention.h"

struct ggml_context;
struct ggml_tensor;

namespace spolia {

// tiled_attention() as a node of a ggml graph. Nodes borrow this object; it outlives their graph's
// computation. One graph at a time.
class GraphAttention {
public:
    GraphAttention(int32_t head_dim, int32_t n_head, int32_t n_head_kv, float scale,
                   int32_t n_threads);

    // Forgets the nodes of the graph before. `n_nodes_max` bounds those of the next one.
    void reset(size_t n_nodes_max);

    // q: f32 [head_dim, n_head, n_rows], dense. k, v: matrices f16 [dim, cells] whose rows 0 .. are
    // the cells; passing the results of the writes to them makes the node wait for those.
    // positions: n_rows ascending, alive until the graph is computed. Returns f32 [head_dim *
    // n_head, n_rows].
    ggml_tensor* node(ggml_context* context, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v,
                      std::span<const int32_t> positions);

    // Threads take items from where the last graph left off; called before a graph is computed.
    void rewind();

private:
    struct Call {
        GraphAttention* owner = nullptr;
        std::span<const int32_t> positions;
        std::atomic<int32_t> next{0};
    };
    static void compute(ggml_tensor* target, int thread, int n_threads, void* call);

    struct AlignedFree {
        void operator()(std::byte* pointer) const;
    };

    AttentionInput shape_;
    std::vector<std::unique_ptr<std::byte, AlignedFree>> scratch_;  // one a thread
    std::unique_ptr<Call[]> calls_;
    size_t n_calls_ = 0;
    size_t n_calls_max_ = 0;
};

}  // namespace spolia
