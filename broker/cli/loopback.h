#pragma once

#include <cstdint>

#include "index/result.h"
#include "index/unique_fd.h"

namespace spolia {

// A port of 127.0.0.1 that was free a moment ago; 0 when the system gives none.
uint16_t free_port();

// TCP sockets of 127.0.0.1 that do not block and do not wait for more to send.
Result<UniqueFd> listen_on(uint16_t port);
// No descriptor where no connection waits.
UniqueFd accept_from(int listener);
Result<UniqueFd> connect_to(uint16_t port);

}  // namespace spolia
