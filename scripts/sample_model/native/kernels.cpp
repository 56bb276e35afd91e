// The parts of a training step that are slow as single operations of PyTorch's on a CPU: attention
// within prompts, norms and gates, each with its gradient. What is exported has a variant for float
// and one for bfloat16.

#include <cstdint>

#include "scripts/sample_model/native/attention.h"
#include "scripts/sample_model/native/row_wise.h"

namespace {

template <typename T>
void all_forward(const void* qkv, const float* cosines, const float* sines, const int32_t* prompts,
                 int n_prompts, const int32_t* lengths, int n_head, int n_head_kv, void* out,
                 float* log_sums) {
    const Attention<T> in{{n_head, n_head_kv}, static_cast<const T*>(qkv), cosines, sines, lengths};
    const auto* all = reinterpret_cast<const PromptRows*>(prompts);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n_prompts; ++i)
        ForwardPass<T>(in, all[i], static_cast<T*>(out), log_sums).run();
}

template <typename T>
void all_backward(const void* qkv, const float* cosines, const float* sines, const int32_t* prompts,
                  int n_prompts, const int32_t* lengths, int n_head, int n_head_kv, const void* out,
                  const float* log_sums, const void* grad_out, void* grad) {
    const Attention<T> in{{n_head, n_head_kv}, static_cast<const T*>(qkv), cosines, sines, lengths};
    const auto* all = reinterpret_cast<const PromptRows*>(prompts);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n_prompts; ++i)
        Backward<T>(in, all[i], static_cast<const T*>(out), log_sums,
                    static_cast<const T*>(grad_out), static_cast<T*>(grad))
            .run();
}

}  // namespace

#define EXPORT(NAME, T)                                                                            \
    extern "C" void attention_forward_##NAME(                                                      \
        const void* qkv, const float* c, const float* s, const int32_t* prompts, int n,            \
        const int32_t* lengths, int n_head, int n_head_kv, void* out, float* log_sums) {           \
        all_forward<T>(qkv, c, s, prompts, n, lengths, n_head, n_head_kv, out, log_sums);          \
    }                                                                                              \
    extern "C" void attention_backward_##NAME(                                                     \
        const void* qkv, const float* c, const float* s, const int32_t* prompts, int n,            \
        const int32_t* lengths, int n_head, int n_head_kv, const void* out, const float* log_sums, \
        const void* grad_out, void* grad) {                                                        \
        all_backward<T>(qkv, c, s, prompts, n, lengths, n_head, n_head_kv, out, log_sums,          \
                        grad_out, grad);                                                           \
    }                                                                                              \
    extern "C" void norm_forward_##NAME(const float* x, const float* w, void* y, float* inverse,   \
                                        int64_t rows, int64_t width, float eps) {                  \
        norm_forward(x, w, static_cast<T*>(y), inverse, rows, width, eps);                         \
    }                                                                                              \
    extern "C" void norm_backward_##NAME(const float* x, const float* w, const float* inverse,     \
                                         const void* grad_y, float* grad_x, float* grad_w,         \
                                         int64_t rows, int64_t width) {                            \
        norm_backward(x, w, inverse, static_cast<const T*>(grad_y), grad_x, grad_w, rows, width);  \
    }                                                                                              \
    extern "C" void gate_forward_##NAME(const void* x, void* y, int64_t rows, int64_t width) {     \
        gate_forward(static_cast<const T*>(x), static_cast<T*>(y), rows, width);                   \
    }                                                                                              \
    extern "C" void gate_backward_##NAME(const void* x, const void* grad_y, void* grad_x,          \
                                         int64_t rows, int64_t width) {                            \
        gate_backward(static_cast<const T*>(x), static_cast<const T*>(grad_y),                     \
                      static_cast<T*>(grad_x), rows, width);                                       \
    }

EXPORT(float, float)
EXPORT(bfloat16, uint16_t)
