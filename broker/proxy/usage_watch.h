#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "adapters/openai/prefix_router.h"
#include "adapters/openai/usage_reader.h"
#include "broker/http/forward.h"
#include "broker/proxy/upstream_group.h"

namespace spolia {

// Notes which server got a prompt, and what it says of the prompt's tokens. Borrows the group and
// the router.
class UsageWatch : public ForwardWatch {
public:
    UsageWatch(UpstreamGroup& group, PrefixRouter& router, std::vector<Key128> chain)
        : group_(group), router_(router), chain_(std::move(chain)) {}

    void on_upstream(const Upstream& upstream) override;
    void on_response(int status, std::string_view content_type, HttpHeaders& added) override;
    void on_body(std::string_view bytes) override;
    void on_end(End end) override;

private:
    UpstreamGroup& group_;
    PrefixRouter& router_;
    const std::vector<Key128> chain_;
    std::optional<size_t> index_;  // of the server
    std::optional<UsageReader> reader_;
};

}  // namespace spolia
