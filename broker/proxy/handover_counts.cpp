#include "broker/proxy/handover_counts.h"

namespace spolia {
void HandoverCounts::add(Counts& counts, std::string_view label) {
    const MutexLock lock(mutex_);
    ++counts[std::string(label)];
}

void HandoverCounts::add_taken(int32_t n_tokens) {
    const MutexLock lock(mutex_);
    ++handovers_["taken"];
    tokens_taken_ += static_cast<uint64_t>(n_tokens);
}

void HandoverCounts::add_metrics(MetricsText& metrics) const {
    const MutexLock lock(mutex_);
    metrics.counter("spolia_handovers_total",
                    "Prompts put into a llama-server's slots, by whether the server took them.");
    for (const auto& [result, n] : handovers_) {
        metrics.add({{"result", result}}, static_cast<double>(n));
    }
    metrics.counter("spolia_handover_tokens_total", "Prompt tokens that it took from there.");
    metrics.add({}, static_cast<double>(tokens_taken_));
    metrics.counter("spolia_handover_fallbacks_total",
                    "Prompts left to the llama-server alone, by reason.");
    for (const auto& [reason, n] : fallbacks_) {
        metrics.add({{"reason", reason}}, static_cast<double>(n));
    }
}

}  // namespace spolia
