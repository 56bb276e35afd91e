#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace spolia {

// Tells when an upstream answers a request whose body is still being sent: it may never read the
// rest. What only says that an answer will come (1xx) is swallowed. On one strand.
class EarlyAnswer : public std::enable_shared_from_this<EarlyAnswer> {
public:
    EarlyAnswer(boost::asio::ip::tcp::socket& upstream, boost::asio::any_io_executor strand,
                std::function<void()> on_answer)
        : upstream_(upstream), strand_(std::move(strand)), on_answer_(std::move(on_answer)) {}

    void watch();
    // From here on the socket is not touched.
    void stop() { on_answer_ = nullptr; }
    bool came() const { return came_; }

private:
    void on_readable();
    enum class Seen : uint8_t { kInterim, kPart, kAnswer };
    // A whole interim answer is gone then.
    Seen look();

    boost::asio::ip::tcp::socket& upstream_;
    const boost::asio::any_io_executor strand_;
    std::function<void()> on_answer_;
    bool came_ = false;
};

}  // namespace spolia
