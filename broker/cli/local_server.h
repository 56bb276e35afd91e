#pragma once

#include <cstdint>
#include <memory>

#include "broker/config.h"
#include "broker/http/router.h"
#include "broker/http/server.h"
#include "broker/local_stack.h"
#include "index/result.h"

namespace spolia {

// A whole broker in this process, model and HTTP server, on a free port of 127.0.0.1: what benches
// and the demo talk to.
class LocalServer {
public:
    // `config.server`'s address and port are not used.
    static Result<std::unique_ptr<LocalServer>> start(Config config);
    ~LocalServer();

    uint16_t port() const { return http_->port(); }
    Service& service() { return *stack_.service; }

private:
    explicit LocalServer(const Config& config) : router_(config) {}

    LocalStack stack_;
    Router router_;
    std::unique_ptr<HttpServer> http_;
};

}  // namespace spolia
