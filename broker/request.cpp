#include "broker/request.h"

#include <algorithm>

#include "reuse/selector.h"

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

std::vector<std::string_view> policy_names() {
    std::vector<std::string_view> names = {kAutoPolicy, kAnchorsPolicy};
    names.insert(names.end(), selector_names().begin(), selector_names().end());
    return names;
}

bool is_policy(std::string_view name) {
    const std::vector<std::string_view> names = policy_names();
    return std::ranges::find(names, name) != names.end();
}

std::string list_of_policies() {
    return std::string(kAutoPolicy) + ", " + std::string(kAnchorsPolicy) + ", " +
           list_of_selectors();
}

std::string_view to_string(FinishReason reason) {
    switch (reason) {
        case FinishReason::kStop: return "stop";
        case FinishReason::kLength: return "length";
        case FinishReason::kToolCalls: return "tool_calls";
        case FinishReason::kCancelled: return "cancelled";
        case FinishReason::kDeclined: return "declined";
    }
    return "stop";
}

}  // namespace spolia
