#pragma once

#include <cstdint>

#include "index/result.h"

namespace spolia {

// What stands behind the proxies that `bench proxy` measures: an OpenAI-compatible server without a
// model, as cheap as it can be, one thread. POST /v1/chat/completions has the same answer of 600
// bytes for all; with "stream": true it sends "stub_events" events, one every "stub_interval_us",
// each with the moment it was sent at. Whatever else is asked is answered with {}.
//
// Serves on 127.0.0.1 until the process ends, which it does when its parent does. Returns what kept
// it from serving.
Status run_proxy_stub(uint16_t port);

// The field of an event with steady_clock's nanoseconds when it was sent.
constexpr const char* kSentField = "\"sent_ns\":";

}  // namespace spolia
