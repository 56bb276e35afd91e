#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "broker/wire/api_error.h"
#include "broker/wire/json_limits.h"

namespace spolia {

// Keeps the order of members: templates print a tool's parameters in the client's order.
using Json = nlohmann::ordered_json;

// A request's body as a JSON object. Errors name line and column.
Parsed<Json> parse_object(std::string_view body, const JsonLimits& limits);

// Bytes that are not UTF-8 become U+FFFD.
std::string dump(const Json& json);

}  // namespace spolia
