#include "broker/http/upstream_pool.h"

#include <boost/asio/io_context.hpp>

namespace spolia {
namespace {

// Servers close connections that idle longer; asking on one just then would fail.
constexpr std::chrono::seconds kIdleMax{30};

}  // namespace

boost::asio::execution_context::id UpstreamPool::id;

UpstreamPool::UpstreamPool(boost::asio::execution_context& context)
    : boost::asio::execution_context::service(context) {
    // Services end in the reverse order: the sockets' own must be there before this one.
    const boost::asio::ip::tcp::socket first(static_cast<boost::asio::io_context&>(context));
}

UpstreamPool& UpstreamPool::of(const boost::asio::any_io_executor& executor) {
    return boost::asio::use_service<UpstreamPool>(
        boost::asio::query(executor, boost::asio::execution::context));
}

void UpstreamPool::drop_aged(std::vector<Idle>& idle, std::vector<Idle>& dropped) {
    const Clock::time_point oldest = Clock::now() - kIdleMax;
    auto fresh = idle.begin();
    while (fresh != idle.end() && fresh->since < oldest) dropped.push_back(std::move(*fresh++));
    idle.erase(idle.begin(), fresh);
}

std::unique_ptr<UpstreamConnection> UpstreamPool::take(const Upstream& upstream) {
    std::vector<Idle> dropped;  // closed without the lock
    for (;;) {
        std::unique_ptr<UpstreamConnection> connection;
        {
            const MutexLock lock(mutex_);
            std::vector<Idle>& idle = idle_[upstream.id()];
            drop_aged(idle, dropped);
            if (idle.empty()) return nullptr;
            connection = std::move(idle.back().connection);
            idle.pop_back();
        }
        if (connection->is_quiet()) return connection;
    }
}

void UpstreamPool::put(const Upstream& upstream, std::unique_ptr<UpstreamConnection> connection) {
    std::vector<Idle> dropped;
    const MutexLock lock(mutex_);
    std::vector<Idle>& idle = idle_[upstream.id()];
    drop_aged(idle, dropped);
    if (idle.size() < static_cast<size_t>(upstream.config().connections_idle_max)) {
        idle.push_back({std::move(connection), Clock::now()});
    }
}

void UpstreamPool::shutdown() noexcept {
    const MutexLock lock(mutex_);
    idle_.clear();
}

}  // namespace spolia
