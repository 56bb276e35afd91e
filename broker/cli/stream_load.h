#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "broker/cli/report.h"
#include "index/result.h"

namespace spolia {

// Streams of the stub's, opened evenly over one interval between events.
struct StreamLoad {
    uint16_t port = 0;
    int streams = 8;
    int events = 50;  // of each stream
    std::chrono::microseconds interval{20'000};
};

// Reads all streams to their ends at once. Gives how late each event came, in microseconds from the
// stub's sending it to its reading here. `all_running` is called once, when every stream has had an
// event; may be empty. Fails with kIo where a stream ends early.
Result<Samples> read_streams(const StreamLoad& load, const std::function<void()>& all_running);

}  // namespace spolia
