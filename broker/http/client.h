#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "index/result.h"

namespace spolia {

struct HttpReply {
    int status = 0;
    std::string body;
    std::string retry_after;  // the header of that name; may be empty
};

// A blocking HTTP/1.1 client for one server, a connection a call: for benches, demos, health checks
// and embedders, not for serving. Any thread.
class HttpClient {
public:
    HttpClient(std::string host, uint16_t port,
               std::chrono::milliseconds timeout = std::chrono::seconds(600),
               uint64_t reply_bytes_max = uint64_t{1} << 30);

    // Fields of every request beside those of HTTP itself, such as {"Authorization", "Bearer ..."}.
    void set_header(std::string name, std::string value);
    // The same of "Authorization: Bearer KEY"; none for an empty key.
    void set_bearer(const std::string& key);

    // Calls end with kCancelled once this is stopped.
    void set_stop(std::stop_token stop) { stop_ = std::move(stop); }

    // Sends `body` as JSON where it is not empty. Fails with kIo when the server can't be reached,
    // hangs up, has not answered in full when the timeout is over (which finding its address,
    // connecting and sending are part of), or answers more than reply_bytes_max. Any status is a
    // reply.
    Result<HttpReply> call(std::string_view method, std::string_view target,
                           std::string body = {}) const;

    // POSTs and hands each server-sent event's data to `on_event` as it comes, without "[DONE]".
    // `on_event` returns false to hang up. A reply that is no event stream comes back as a body.
    // Here the timeout is for silence: once the request is sent, each piece may take as long.
    Result<HttpReply> stream(std::string_view target, std::string body,
                             const std::function<bool(std::string_view data)>& on_event) const;

private:
    Error no_answer(const std::exception& failure) const;

    const std::string host_;
    const uint16_t port_;
    const std::chrono::milliseconds timeout_;
    const uint64_t reply_bytes_max_;
    std::vector<std::pair<std::string, std::string>> headers_;
    std::stop_token stop_;
};

}  // namespace spolia
