#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/http/message.h"
#include "broker/http/upstream.h"

namespace spolia {

// Watches one forwarded exchange; all calls on the connection's strand, so they must not wait.
class ForwardWatch {
public:
    enum class End : uint8_t { kComplete, kClientGone, kUpstreamFailed };

    virtual ~ForwardWatch() = default;
    // The request is with this one, or a part of it.
    virtual void on_upstream(const Upstream& /*upstream*/) {}
    // An upstream's response begins; those that answer in place of one are not seen. `added` go to
    // the client.
    virtual void on_response(int /*status*/, std::string_view /*content_type*/,
                             HttpHeaders& /*added*/) {}
    // Bytes of the body as they pass, without chunks' framing.
    virtual void on_body(std::string_view /*bytes*/) {}
    // Exactly once, and last.
    virtual void on_end(End /*end*/) {}
};

// A request that a server behind answers.
struct Forward {
    // In order; the next one only where nothing was sent.
    std::vector<std::shared_ptr<Upstream>> candidates;
    std::optional<std::string> target = {};    // in place of the client's
    std::optional<std::string> body = {};      // in place of the client's
    HttpHeaders request_headers = {};          // set in place of the client's of these names
    std::shared_ptr<ForwardWatch> watch = {};  // may be null
};

}  // namespace spolia
