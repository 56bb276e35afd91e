#pragma once

#include <future>
#include <memory>

#include "adapters/llama_server/server_client.h"
#include "broker/config.h"
#include "broker/local_stack.h"
#include "broker/proxy/llama_server_proxy.h"
#include "index/result.h"

namespace spolia {

// What stands in front of a llama-server: the model that it has, loaded here as well (no service
// where that can't be), and the proxy that composes prompts with it.
struct LlamaServerStack {
    LocalStack local;
    std::unique_ptr<LlamaServerProxy> proxy;
};

// Whether the configured upstream is one llama-server: by its kind or, where that is `auto`,
// because it answers as one.
bool is_llama_server(const UpstreamConfig& config);

// Waits until the server says what it has, and loads it: the file that the configuration names,
// else the one that the server has. Fails with kCancelled once `stopped` is ready, and where the
// server does not answer as a llama-server.
Result<LlamaServerStack> open_llama_server_stack(Config config, const ServerCall& call,
                                                 const std::future<void>& stopped);

}  // namespace spolia
