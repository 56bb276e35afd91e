#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace spolia {

// A chat request of just so many bytes, as JSON; never less than it takes without any text.
std::string chat_body(size_t bytes);
// The same with all of HTTP.
std::string chat_request(size_t bytes);
// One that the stub answers with a stream.
std::string stream_request(int events, std::chrono::microseconds interval);

}  // namespace spolia
