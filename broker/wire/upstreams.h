#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/wire/api_error.h"
#include "broker/wire/json_limits.h"

namespace spolia {

// How a server behind this one does, for GET /v1/upstreams.
struct UpstreamStatus {
    std::string name;  // "HOST:PORT"
    bool healthy = false;
    bool draining = false;
    int64_t in_flight = 0;
    int64_t requests = 0;  // sent to it
    double share = 0;      // of all requests
    int64_t prompt_tokens = 0;
    int64_t cached_tokens = 0;  // of prompt_tokens
};

std::string upstream_list_json(std::span<const UpstreamStatus> upstreams);
std::string upstream_json(const UpstreamStatus& upstream);

// PUT /v1/chunks where servers behind have the model: {text | texts, model, role?, cache_salt?}.
struct WarmUpRequest {
    std::vector<std::string> texts;  // not empty
    std::string model;
    std::string role;  // "system" or "user"
    std::string cache_salt;
};
Parsed<WarmUpRequest> parse_warm_up(std::string_view body, const JsonLimits& limits);

// The chat request that makes a server read `text` as a prompt's beginning, and answer next to
// nothing.
std::string warm_up_body(const WarmUpRequest& request, std::string_view text);

// The answer: which server each text goes to.
std::string warm_up_json(std::span<const std::string> upstreams);

}  // namespace spolia
