#include "reuse/engine.h"

#include <algorithm>

namespace spolia {

std::string_view to_string(ReuseSupport support) {
    switch (support) {
        case ReuseSupport::kFused: return "fused";
        case ReuseSupport::kSpans: return "spans";
        case ReuseSupport::kExactOnly: return "exact_only";
    }
    return "unknown";
}

int32_t rows_kept_exactly(int32_t n_exact, int32_t n_prompt, int32_t n_tile_rows) {
    const int32_t n = std::max(0, std::min(n_exact, n_prompt - n_tile_rows));
    return n - n % n_tile_rows;
}

bool completes_tile(int32_t n_exact, int32_t n_rows, int32_t n_tile_rows) {
    return n_rows - n_rows % n_tile_rows > n_exact;
}

}  // namespace spolia
