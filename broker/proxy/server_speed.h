#pragma once

#include <cstdint>
#include <optional>

#include "index/thread_annotations.h"

namespace spolia {

// What a server takes to compute prompts, from what it says of its answers. Thread-safe.
class ServerSpeed {
public:
    void observe(int64_t n_tokens, double ms) EXCLUDES(mutex_) {
        // Short ones tell of the server's own overhead.
        if (n_tokens < kTokensMin || !(ms > 0)) return;
        const MutexLock lock(mutex_);
        const double measured = ms / static_cast<double>(n_tokens);
        ms_per_token_ =
            ms_per_token_ ? *ms_per_token_ + kWeight * (measured - *ms_per_token_) : measured;
    }

    std::optional<double> ms_per_token() const EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        return ms_per_token_;
    }

private:
    static constexpr int64_t kTokensMin = 64;
    static constexpr double kWeight = 0.25;  // of the newest

    mutable Mutex mutex_;
    std::optional<double> ms_per_token_ GUARDED_BY(mutex_);
};

}  // namespace spolia
