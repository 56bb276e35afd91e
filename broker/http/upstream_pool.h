#pragma once

#include <chrono>
#include <memory>
#include <unordered_map>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>

#include "broker/http/upstream_connection.h"
#include "index/thread_annotations.h"

namespace spolia {

// Connections to upstreams that wait for their next request, one pool an io_context: it ends with
// the sockets' own context, whatever outlives what. Thread-safe.
class UpstreamPool : public boost::asio::execution_context::service {
public:
    static boost::asio::execution_context::id id;  // the name Asio looks for

    explicit UpstreamPool(boost::asio::execution_context& context);
    // The pool of the io_context that an executor is of.
    static UpstreamPool& of(const boost::asio::any_io_executor& executor);

    // The one used last that is still as it was left; null: none.
    std::unique_ptr<UpstreamConnection> take(const Upstream& upstream) EXCLUDES(mutex_);
    void put(const Upstream& upstream, std::unique_ptr<UpstreamConnection> connection)
        EXCLUDES(mutex_);

private:
    using Clock = std::chrono::steady_clock;
    struct Idle {
        std::unique_ptr<UpstreamConnection> connection;
        Clock::time_point since;
    };

    void shutdown() noexcept override EXCLUDES(mutex_);
    static void drop_aged(std::vector<Idle>& idle, std::vector<Idle>& dropped);

    Mutex mutex_;
    std::unordered_map<uint64_t, std::vector<Idle>> idle_ GUARDED_BY(mutex_);  // oldest first
};

}  // namespace spolia
