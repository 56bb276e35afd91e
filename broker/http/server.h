#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "broker/config.h"
#include "broker/http/router.h"
#include "index/result.h"

namespace spolia {

// The HTTP server: listens, and serves connections on threads of its own.
class HttpServer {
public:
    // Binds and serves from now on. `router` must outlive the server. Fails when the address can't
    // be had, or may not (check_exposure()).
    static Result<std::unique_ptr<HttpServer>> start(const ServerConfig& config,
                                                     const Router& router);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    uint16_t port() const;

    // Takes no more connections, gives running requests config.stop_grace_ms, cancels what is left
    // and waits for its end. The service must still be there.
    void stop();

private:
    class Impl;
    explicit HttpServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace spolia
