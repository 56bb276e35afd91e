#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "index/result.h"

namespace spolia {

// Requests at a fixed rate, whatever becomes of those before: a request's latency counts from the
// moment at which it was to be sent, so that a server that stalls is charged with all that waited
// meanwhile.
class OpenLoopSchedule {
public:
    using Time = std::chrono::steady_clock::time_point;

    OpenLoopSchedule(Time start, int64_t per_second, int64_t total)
        : start_(start), per_second_(per_second), total_(total) {}

    bool all_taken() const { return taken_ == total_; }
    // When the next request is to be sent. Only while !all_taken().
    Time next_due() const;
    bool is_due(Time now) const { return !all_taken() && next_due() <= now; }
    // Takes the next request; returns next_due() of before.
    Time take();

private:
    const Time start_;
    const int64_t per_second_;
    const int64_t total_;
    int64_t taken_ = 0;
};

// What wrk printed at its end: requests a second. Fails with kIo where any request failed.
Result<double> requests_per_second_in(std::string_view wrk_output);

// VmRSS of a /proc/PID/status; 0 where it is not there.
uint64_t resident_bytes_in(std::string_view status);

// Takes the whole events of a server-sent stream out of its decoded body and tells when the stub
// sent each: the nanoseconds behind kSentField. Events without them are skipped; what is left of
// `body` is the beginning of the next event.
std::vector<int64_t> take_sent_times(std::string& body);

}  // namespace spolia
