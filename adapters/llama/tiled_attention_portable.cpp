#define SPOLIA_ATTENTION_NAMESPACE attention_portable
#include "adapters/llama/tiled_attention_kernel.inc"
