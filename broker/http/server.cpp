#include "broker/http/server.h"

#include <array>
#include <chrono>
#include <exception>
#include <thread>
#include <unordered_map>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>

#include "broker/http/connection.h"
#include "broker/log.h"
#include "index/thread_annotations.h"

namespace spolia {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

class HttpServer::Impl {
public:
    Impl(const ServerConfig& config, const Router& router)
        : config_(config),
          router_(router),
          work_(io_.get_executor()),
          acceptor_(asio::make_strand(io_)) {}

    ~Impl() { stop(); }

    Status listen();
    void serve();
    void stop();
    uint16_t port() const { return port_; }

private:
    asio::awaitable<void> accept_all();
    void take(tcp::socket socket);
    void forget(const Connection* connection);
    std::vector<std::shared_ptr<Connection>> connections() const;
    bool all_gone_by(std::chrono::steady_clock::time_point deadline);

    const ServerConfig config_;
    const Router& router_;
    asio::io_context io_;
    asio::executor_work_guard<asio::io_context::executor_type> work_;
    tcp::acceptor acceptor_;
    uint16_t port_ = 0;
    std::vector<std::thread> threads_;

    mutable Mutex mutex_;
    CondVar gone_;
    std::unordered_map<const Connection*, std::weak_ptr<Connection>> connections_
        GUARDED_BY(mutex_);
    bool stopping_ GUARDED_BY(mutex_) = false;
};

namespace {

// Full: says so and closes.
asio::awaitable<void> turn_away(tcp::socket socket) {
    static const std::string response = [] {
        const std::string body = to_json(ApiError{503, "too many connections; try again later",
                                                  "server_error", "", "too_many_connections"});
        return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
               "Retry-After: 1\r\nConnection: close\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body;
    }();
    boost::beast::tcp_stream stream(std::move(socket));
    stream.expires_after(std::chrono::seconds(2));
    error_code error;
    co_await asio::async_write(stream, asio::buffer(response),
                               asio::redirect_error(asio::use_awaitable, error));
    stream.socket().shutdown(tcp::socket::shutdown_send, error);
    std::array<char, 4096> ignored;
    while (!error) {
        co_await stream.async_read_some(asio::buffer(ignored),
                                        asio::redirect_error(asio::use_awaitable, error));
    }
}

Error listen_error(const ServerConfig& config, const error_code& error) {
    return Error{ErrorCode::kIo, "can't listen on " + config.host + " port " +
                                     std::to_string(config.port) + ": " + error.message() +
                                     "; choose another with --host and --port"};
}

}  // namespace

Status HttpServer::Impl::listen() {
    error_code error;
    tcp::resolver resolver(io_);
    const auto found =
        resolver.resolve(config_.host, std::to_string(config_.port), tcp::resolver::passive, error);
    if (error) return listen_error(config_, error);
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return listen_error(config_, error);
    port_ = acceptor_.local_endpoint().port();
    return {};
}

void HttpServer::Impl::serve() {
    asio::co_spawn(acceptor_.get_executor(), accept_all(), asio::detached);
    for (int32_t i = 0; i < config_.n_threads; ++i) {
        threads_.emplace_back([this] { io_.run(); });
    }
}

asio::awaitable<void> HttpServer::Impl::accept_all() {
    while (acceptor_.is_open()) {
        error_code error;
        tcp::socket socket = co_await acceptor_.async_accept(
            asio::make_strand(io_), asio::redirect_error(asio::use_awaitable, error));
        if (!error) {
            take(std::move(socket));
        } else if (acceptor_.is_open()) {
            // Out of file descriptors, say: others must close first.
            log_event(LogLevel::kWarning, "accept failed", {{"error", error.message()}});
            asio::steady_timer pause(io_, std::chrono::milliseconds(100));
            co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        }
    }
}

void HttpServer::Impl::take(tcp::socket socket) {
    const asio::any_io_executor strand = socket.get_executor();
    std::shared_ptr<Connection> connection;
    {
        const MutexLock lock(mutex_);
        if (stopping_) return;
        if (connections_.size() < static_cast<size_t>(config_.connections_max)) {
            connection = std::make_shared<Connection>(std::move(socket), config_, router_);
            connections_[connection.get()] = connection;
        }
    }
    if (connection == nullptr) {
        asio::co_spawn(strand, turn_away(std::move(socket)), asio::detached);
        return;
    }
    asio::co_spawn(strand, connection->run(), [this, connection](std::exception_ptr failure) {
        if (failure) {
            try {
                std::rethrow_exception(failure);
            } catch (const std::exception& exception) {
                log_event(LogLevel::kError, "connection failed", {{"error", exception.what()}});
            }
        }
        forget(connection.get());
    });
}

void HttpServer::Impl::forget(const Connection* connection) {
    const MutexLock lock(mutex_);
    connections_.erase(connection);
    gone_.notify_all();
}

std::vector<std::shared_ptr<Connection>> HttpServer::Impl::connections() const {
    const MutexLock lock(mutex_);
    std::vector<std::shared_ptr<Connection>> alive;
    for (const auto& [key, weak] : connections_) {
        if (auto connection = weak.lock()) alive.push_back(std::move(connection));
    }
    return alive;
}

bool HttpServer::Impl::all_gone_by(std::chrono::steady_clock::time_point deadline) {
    const MutexLock lock(mutex_);
    while (!connections_.empty()) {
        if (!gone_.wait_until(mutex_, deadline)) return connections_.empty();
    }
    return true;
}

void HttpServer::Impl::stop() {
    if (threads_.empty()) return;
    {
        const MutexLock lock(mutex_);
        stopping_ = true;
    }
    asio::post(acceptor_.get_executor(), [this] {
        error_code ignored;
        acceptor_.close(ignored);
    });
    // All know before any closes: what a client sees of one holds for the others.
    for (const auto& connection : connections()) connection->announce_end();
    for (const auto& connection : connections()) connection->drain();
    auto deadline =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(config_.stop_grace_ms);
    while (!all_gone_by(deadline)) {
        for (const auto& connection : connections()) connection->abort();
        deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
    }
    work_.reset();
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::start(const ServerConfig& config,
                                                      const Router& router) {
    if (Status status = check_exposure(config); !status.ok()) return status.error();
    auto impl = std::make_unique<Impl>(config, router);
    if (Status status = impl->listen(); !status.ok()) return status.error();
    impl->serve();
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

uint16_t HttpServer::port() const { return impl_->port(); }

void HttpServer::stop() { impl_->stop(); }

}  // namespace spolia
