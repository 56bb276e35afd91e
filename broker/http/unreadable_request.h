#pragma once

#include <boost/system/error_code.hpp>

#include "broker/config.h"
#include "broker/wire/api_error.h"

namespace spolia {

// What a client is told whose bytes could not be read as a request: 400, 413 or 431.
ApiError unreadable_request(boost::system::error_code error, const ServerConfig& config);

}  // namespace spolia
