#include "broker/cli/local_server.h"

#include <utility>

namespace spolia {

Result<std::unique_ptr<LocalServer>> LocalServer::start(Config config) {
    config.server.host = "127.0.0.1";
    config.server.port = 0;
    std::unique_ptr<LocalServer> server(new LocalServer(config));
    Result<LocalStack> stack = open_local_stack(config);
    if (!stack) return stack.error();
    server->stack_ = std::move(stack).value();
    server->router_.attach(*server->stack_.service);
    Result<std::unique_ptr<HttpServer>> http = HttpServer::start(config.server, server->router_);
    if (!http) return http.error();
    server->http_ = std::move(http).value();
    return server;
}

LocalServer::~LocalServer() {
    if (http_) http_->stop();
    router_.detach();
}

}  // namespace spolia
