#include "broker/http/upstream_probe.h"

#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "broker/http/deadline.h"
#include "broker/http/upstream_connection.h"

namespace spolia {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;

class UpstreamProbe::Impl {
public:
    Impl(std::vector<std::shared_ptr<Upstream>> upstreams, milliseconds interval)
        : interval_(interval) {
        for (auto& upstream : upstreams) {
            asio::co_spawn(io_, probe(std::move(upstream)), asio::detached);
        }
        thread_ = std::thread([this] { io_.run(); });
    }
    ~Impl() {
        io_.stop();
        thread_.join();
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

private:
    asio::awaitable<void> probe(std::shared_ptr<Upstream> upstream) {
        asio::steady_timer pause(io_);
        for (;;) {
            const bool connected = co_await connects(*upstream);
            if (connected) {
                upstream->note_connected();
            } else {
                upstream->note_unreachable();
            }
            error_code ignored;
            pause.expires_after(interval_);
            co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
    }

    asio::awaitable<bool> connects(Upstream& upstream) {
        UpstreamConnection connection(io_);
        const auto deadline = std::make_shared<Deadline>(io_.get_executor());
        deadline->set(milliseconds(upstream.config().connect_timeout_ms),
                      [&connection] { connection.close(); });
        const error_code error = co_await connection.connect(upstream);
        deadline->stop();
        co_return !error;
    }

    const milliseconds interval_;
    asio::io_context io_{1};
    std::thread thread_;
};

UpstreamProbe::UpstreamProbe(std::vector<std::shared_ptr<Upstream>> upstreams,
                             milliseconds interval)
    : impl_(std::make_unique<Impl>(std::move(upstreams), interval)) {}

UpstreamProbe::~UpstreamProbe() = default;

}  // namespace spolia
