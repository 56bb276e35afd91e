#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "broker/http/upstream.h"
#include "broker/worker_pool.h"

namespace spolia {

// Sends requests whose answers nobody waits for, one after the other, on a thread of its own: so
// that a server has read a text before the first prompt with it comes. What is queued at its end is
// dropped.
class WarmUp {
public:
    static constexpr size_t kQueueMax = 256;

    // A body for /v1/chat/completions. False: the queue is full, or the server is one behind TLS,
    // which the client does not speak.
    bool send(std::shared_ptr<Upstream> upstream, std::string body);

private:
    WorkerPool worker_{1, kQueueMax, "being warmed up"};
};

}  // namespace spolia
