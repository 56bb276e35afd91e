#pragma once

#include <string>
#include <vector>

#include "index/thread_annotations.h"
#include "tests/support/stub_server.h"

namespace spolia::testing {

// A stub of vLLM's server, after its documented API: it has no model and answers /health and chat
// requests with fixed JSON.
class VllmStub {
public:
    VllmStub() : server_([this](const StubRequest& request) { return answer(request); }) {}

    std::string url() const { return server_.url(); }
    std::string name() const { return "127.0.0.1:" + std::to_string(server_.port()); }

    void set_healthy(bool healthy) EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        healthy_ = healthy;
    }
    // Bodies of the chat requests, in order.
    std::vector<std::string> bodies() EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        return bodies_;
    }

    void wait_for_requests(size_t n) EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        while (bodies_.size() < n) changed_.wait(mutex_);
    }
    // For n more. What the last of them was told is known to the client for sure only when another
    // one comes.
    void wait_for_health_checks(size_t n) EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        const size_t end = n_health_checks_ + n;
        while (n_health_checks_ < end) changed_.wait(mutex_);
    }

private:
    std::string answer(const StubRequest& request) EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        changed_.notify_all();
        if (request.head.starts_with("GET /health")) {
            ++n_health_checks_;
            return stub_response(healthy_ ? 200 : 503, "");
        }
        bodies_.push_back(request.body);
        return stub_response(200, R"({"object":"chat.completion","choices":[],"usage":)"
                                  R"({"prompt_tokens":20,"completion_tokens":1,)"
                                  R"("prompt_tokens_details":{"cached_tokens":16}}})");
    }

    Mutex mutex_;
    CondVar changed_;
    bool healthy_ GUARDED_BY(mutex_) = true;
    size_t n_health_checks_ GUARDED_BY(mutex_) = 0;
    std::vector<std::string> bodies_ GUARDED_BY(mutex_);
    StubServer server_;
};

}  // namespace spolia::testing
