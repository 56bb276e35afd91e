#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>

#include "index/thread_annotations.h"

namespace spolia {

struct FoundAddresses {
    std::vector<boost::asio::ip::tcp::endpoint> endpoints;
    boost::system::error_code error;
};

// Looks up one server's address. The system's look-up of a name can't be ended and may take as long
// as it likes: it has a thread of its own, which outlives this where it does, and there is never
// more than one for all who ask. Thread-safe.
class NameLookup : public std::enable_shared_from_this<NameLookup> {
public:
    using Done = std::function<void(FoundAddresses)>;

    NameLookup(std::string host, uint16_t port) : host_(std::move(host)), port_(port) {}

    // Calls `done` with what was found, within the call or later on another thread: an address is
    // taken as it is, and what was found is good for some seconds.
    void ask(Done done) EXCLUDES(mutex_);

private:
    using Clock = std::chrono::steady_clock;

    bool start() REQUIRES(mutex_);  // false: no thread can be had
    FoundAddresses find() const;
    void finish(FoundAddresses found) EXCLUDES(mutex_);

    const std::string host_;
    const uint16_t port_;
    Mutex mutex_;
    std::vector<Done> waiting_ GUARDED_BY(mutex_);  // some: a thread is looking
    FoundAddresses found_ GUARDED_BY(mutex_);
    Clock::time_point good_until_ GUARDED_BY(mutex_);
};

}  // namespace spolia
