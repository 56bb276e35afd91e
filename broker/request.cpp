#include "broker/request.h"

namespace spolia {

std::string_view to_string(Fidelity fidelity) {
    switch (fidelity) {
        case Fidelity::kExact: return "exact";
        case Fidelity::kGuarded: return "guarded";
        case Fidelity::kFast: return "fast";
    }
    return "exact";
}

std::optional<Fidelity> fidelity_from(std::string_view text) {
    if (text == "exact") return Fidelity::kExact;
    if (text == "guarded") return Fidelity::kGuarded;
    if (text == "fast") return Fidelity::kFast;
    return std::nullopt;
}

std::string_view to_string(FinishReason reason) {
    switch (reason) {
        case FinishReason::kStop: return "stop";
        case FinishReason::kLength: return "length";
        case FinishReason::kToolCalls: return "tool_calls";
        case FinishReason::kCancelled: return "cancelled";
    }
    return "stop";
}

}  // namespace spolia
