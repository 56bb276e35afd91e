#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "index/result.h"

namespace spolia {

struct HttpReply {
    int status = 0;
    std::string body;
};

// A blocking HTTP/1.1 client for one server, a connection a call: for benches, demos and health
// checks, not for serving.
class HttpClient {
public:
    HttpClient(std::string host, uint16_t port,
               std::chrono::seconds timeout = std::chrono::seconds(600));

    // Sends `body` as JSON where it is not empty. Fails with kIo when the server can't be reached,
    // hangs up or stays silent for the timeout. Any status is a reply.
    Result<HttpReply> call(std::string_view method, std::string_view target,
                           std::string body = {}) const;

    // POSTs and hands each server-sent event's data to `on_event` as it comes, without "[DONE]".
    // `on_event` returns false to hang up. A reply that is no event stream comes back as a body.
    Result<HttpReply> stream(std::string_view target, std::string body,
                             const std::function<bool(std::string_view data)>& on_event) const;

private:
    std::string host_;
    uint16_t port_;
    std::chrono::seconds timeout_;
};

}  // namespace spolia
