#pragma once

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

// Whether the configured upstream is one llama-server, or (`auto`) one server that may be.
bool may_be_llama_server(const UpstreamConfig& config);

// Waits until the server is there and says what it has. Fails where it does not answer as a
// llama-server.
Result<ServerProps> await_props(const ServerCall& call);

// Loads the server's model: the file that the configuration names, else the one that the server
// has. Fails where the configuration's upstream can't be opened.
Result<LlamaServerStack> open_llama_server_stack(Config config, const ServerCall& call,
                                                 const ServerProps& props);

}  // namespace spolia
