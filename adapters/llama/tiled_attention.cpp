#include "adapters/llama/tiled_attention.h"

#include <vector>

namespace spolia {

// Each is compiled from tiled_attention_kernel.inc with its own instruction set.
#define SPOLIA_DECLARE_ATTENTION(name)                                                         \
    namespace name {                                                                           \
    int32_t items(const AttentionInput& input);                                                \
    size_t scratch_bytes(const AttentionInput& input);                                         \
    void attend(const AttentionInput& input, int32_t first, int32_t last, std::byte* scratch); \
    }
SPOLIA_DECLARE_ATTENTION(attention_portable)
#if defined(__x86_64__)
SPOLIA_DECLARE_ATTENTION(attention_avx2)
SPOLIA_DECLARE_ATTENTION(attention_avx512)
#endif
#undef SPOLIA_DECLARE_ATTENTION

namespace {

std::vector<TiledAttentionKernel> find_kernels() {
    std::vector<TiledAttentionKernel> kernels;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        kernels.push_back({"avx512", 16, attention_avx512::items, attention_avx512::scratch_bytes,
                           attention_avx512::attend});
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        kernels.push_back({"avx2", 8, attention_avx2::items, attention_avx2::scratch_bytes,
                           attention_avx2::attend});
    }
#endif
    kernels.push_back({"portable", 4, attention_portable::items, attention_portable::scratch_bytes,
                       attention_portable::attend});
    return kernels;
}

const TiledAttentionKernel& kernel() { return tiled_attention_kernels().front(); }

constexpr int32_t kHeadDimMax = 512;

}  // namespace

bool tiled_attention_supports(int32_t head_dim, int32_t n_head, int32_t n_head_kv) {
    return head_dim > 0 && head_dim <= kHeadDimMax && head_dim % kernel().width == 0 &&
           n_head_kv > 0 && n_head % n_head_kv == 0;
}

int32_t tiled_attention_items(const AttentionInput& input) { return kernel().items(input); }

size_t tiled_attention_scratch_bytes(const AttentionInput& input) {
    return kernel().scratch_bytes(input);
}

void tiled_attention(const AttentionInput& input, int32_t first, int32_t last, std::byte* scratch) {
    kernel().attend(input, first, last, scratch);
}

std::string_view tiled_attention_kernel() { return kernel().name; }

std::span<const TiledAttentionKernel> tiled_attention_kernels() {
    static const std::vector<TiledAttentionKernel> kernels = find_kernels();
    return kernels;
}

}  // namespace spolia
