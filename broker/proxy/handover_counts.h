#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "broker/metrics_text.h"
#include "index/thread_annotations.h"

namespace spolia {

// How prompts got to a llama-server. Thread-safe.
class HandoverCounts {
public:
    void add_taken(int32_t n_tokens) EXCLUDES(mutex_);
    void add_not_taken() EXCLUDES(mutex_) { add(handovers_, "not_taken"); }
    // The server computes the prompt, for this reason.
    void add_fallback(std::string_view reason) EXCLUDES(mutex_) { add(fallbacks_, reason); }

    void add_metrics(MetricsText& metrics) const EXCLUDES(mutex_);

private:
    using Counts = std::map<std::string, uint64_t, std::less<>>;
    void add(Counts& counts, std::string_view label) EXCLUDES(mutex_);

    mutable Mutex mutex_;
    Counts handovers_ GUARDED_BY(mutex_) = {{"taken", 0}, {"not_taken", 0}};
    Counts fallbacks_ GUARDED_BY(mutex_);
    uint64_t tokens_taken_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spolia
