#include "reuse/engine.h"

namespace spolia {

std::string_view to_string(ReuseSupport support) {
    switch (support) {
        case ReuseSupport::kFused: return "fused";
        case ReuseSupport::kSpans: return "spans";
        case ReuseSupport::kExactOnly: return "exact_only";
    }
    return "unknown";
}

}  // namespace spolia
