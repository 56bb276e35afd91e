#pragma once

#include <stop_token>

#include "adapters/llama_server/server_client.h"
#include "broker/config.h"
#include "index/result.h"

namespace spolia {

// Calls the first upstream, blocking, a connection a call: llama-server has a thread for each open
// one, and few of them. Calls fail with kCancelled after a stop. Fails on a URL that this client
// does not speak.
Result<ServerCall> open_server_call(const UpstreamConfig& config, std::stop_token stop);

}  // namespace spolia
