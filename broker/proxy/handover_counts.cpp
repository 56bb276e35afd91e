#include "broker/proxy/handover_counts.h"

namespace spolia {
namespace {

void write_family(std::string& out, const std::string& name, const std::string& help) {
    out += "# HELP " + name + ' ' + help + "\n# TYPE " + name + " counter\n";
}

template <class Counts>
void write_counts(std::string& out, const std::string& name, const std::string& label,
                  const Counts& counts) {
    for (const auto& [value, n] : counts) {
        out += name + '{' + label + "=\"" + value + "\"} " + std::to_string(n) + '\n';
    }
}

}  // namespace

void HandoverCounts::add(Counts& counts, std::string_view label) {
    const MutexLock lock(mutex_);
    ++counts[std::string(label)];
}

void HandoverCounts::add_taken(int32_t n_tokens) {
    const MutexLock lock(mutex_);
    ++handovers_["taken"];
    tokens_taken_ += static_cast<uint64_t>(n_tokens);
}

std::string HandoverCounts::metrics_text() const {
    const MutexLock lock(mutex_);
    std::string out;
    write_family(out, "spolia_handovers_total",
                 "Prompts put into a llama-server's slots, by whether the server took them.");
    write_counts(out, "spolia_handovers_total", "result", handovers_);
    write_family(out, "spolia_handover_tokens_total", "Prompt tokens that it took from there.");
    out += "spolia_handover_tokens_total " + std::to_string(tokens_taken_) + '\n';
    write_family(out, "spolia_handover_fallbacks_total",
                 "Prompts left to the llama-server alone, by reason.");
    write_counts(out, "spolia_handover_fallbacks_total", "reason", fallbacks_);
    return out;
}

}  // namespace spolia
