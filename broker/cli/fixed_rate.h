#pragma once

#include <cstdint>
#include <string>

#include "broker/cli/report.h"
#include "index/result.h"

namespace spolia {

struct FixedRate {
    uint16_t port = 0;
    std::string request;  // whole, head and body
    int64_t per_second = 1000;
    int64_t total = 1000;
    int64_t unrecorded = 0;  // the first ones, which warm up
    int connections = 32;    // kept open, used in turn
};

// Sends requests at a fixed rate and gives their latencies in microseconds, from the moment each
// was to be sent (OpenLoopSchedule) to the last byte of its answer. Fails with kIo on an answer
// other than 200, or where the server falls behind by half a minute.
Result<Samples> measure_fixed_rate(const FixedRate& load);

}  // namespace spolia
