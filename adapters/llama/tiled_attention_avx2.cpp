#define SPOLIA_ATTENTION_NAMESPACE attention_avx2
#include "adapters/llama/tiled_attention_kernel.inc"
