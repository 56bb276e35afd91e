#include "broker/http/name_lookup.h"

#include <system_error>
#include <thread>
#include <utility>

#include <boost/asio/io_context.hpp>

namespace spolia {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::chrono::seconds kGoodFor{5};

}  // namespace

void NameLookup::ask(Done done) {
    FoundAddresses at_once;
    {
        boost::system::error_code error;
        const auto address = asio::ip::make_address(host_, error);
        const MutexLock lock(mutex_);
        if (!error) {
            at_once.endpoints = {tcp::endpoint(address, port_)};
        } else if (Clock::now() < good_until_) {
            at_once = found_;
        } else if (!waiting_.empty() || start()) {
            waiting_.push_back(std::move(done));
            return;
        } else {
            at_once.error = asio::error::no_memory;
        }
    }
    done(std::move(at_once));
}

bool NameLookup::start() try {
    std::thread([self = shared_from_this()] { self->finish(self->find()); }).detach();
    return true;
} catch (const std::system_error&) {
    return false;
}

FoundAddresses NameLookup::find() const try {
    FoundAddresses found;
    asio::io_context context;
    for (const auto& each : tcp::resolver(context).resolve(
             host_, std::to_string(port_), tcp::resolver::numeric_service, found.error)) {
        found.endpoints.push_back(each.endpoint());
    }
    return found;
} catch (const boost::system::system_error& failure) {  // no file descriptor is left
    return {.endpoints = {}, .error = failure.code()};
}

void NameLookup::finish(FoundAddresses found) {
    std::vector<Done> waiting;
    {
        const MutexLock lock(mutex_);
        found_ = found;
        if (!found.error) good_until_ = Clock::now() + kGoodFor;
        waiting.swap(waiting_);
    }
    for (const Done& done : waiting) done(found);
}

}  // namespace spolia
