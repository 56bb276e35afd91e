#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "broker/config.h"
#include "broker/http/name_lookup.h"
#include "broker/http/url.h"
#include "broker/metrics_text.h"
#include "index/result.h"

namespace spolia {

// Why an upstream did not answer a request in full.
enum class UpstreamFailure : uint8_t {
    kConnect,        // not reached, or its certificate is none
    kHeaderTimeout,  // no response began in time
    kIdleTimeout,    // a body did not go on in time
    kClosed,         // hung up too early
    kMalformed,      // not HTTP
};
inline constexpr size_t kUpstreamFailures = 5;
std::string_view to_string(UpstreamFailure failure);

class UpstreamTls;

// One server that requests are forwarded to: where it is, how it does, what it was asked.
// Thread-safe. Its idle connections are held where they are used (UpstreamPool).
class Upstream {
public:
    using Clock = std::chrono::steady_clock;

    // Fails on a URL that is none and on certificates that can't be read. A "/v1" at the URL's end,
    // as clients' base URLs have it, is left out: requests bring it along.
    static Result<std::shared_ptr<Upstream>> open(const std::string& url,
                                                  const UpstreamConfig& config);
    ~Upstream();
    Upstream(const Upstream&) = delete;
    Upstream& operator=(const Upstream&) = delete;

    const HttpUrl& url() const { return url_; }
    const std::string& name() const { return name_; }  // "HOST:PORT"
    const UpstreamConfig& config() const { return config_; }
    uint64_t id() const { return id_; }  // no two have the same, ever
    NameLookup& names() const { return *names_; }
    UpstreamTls* tls() const { return tls_.get(); }  // null: plain

    // Whether it may be asked now: after connects that failed it is passed over for a while, which
    // grows with each that follows, up to half a minute.
    bool healthy(Clock::time_point now = Clock::now()) const;
    // Whether the last connect came through; false before the first.
    bool answers() const { return answers_; }
    uint32_t n_in_flight() const { return n_in_flight_; }

    void note_connected();
    // A try to connect that no request waited for, and that failed.
    void note_unreachable();
    void note_failure(UpstreamFailure failure);
    void note_status(int status);

    // A request on its way, counted for as long as this lives.
    class InFlight {
    public:
        explicit InFlight(Upstream& upstream) : upstream_(upstream) { ++upstream_.n_in_flight_; }
        ~InFlight() { --upstream_.n_in_flight_; }
        InFlight(const InFlight&) = delete;
        InFlight& operator=(const InFlight&) = delete;

    private:
        Upstream& upstream_;
    };

private:
    friend void add_upstream_metrics(std::span<const std::shared_ptr<Upstream>> upstreams,
                                     MetricsText& metrics);
    static constexpr size_t kStatusClasses = 5;  // "1xx" .. "5xx"

    Upstream(HttpUrl url, const UpstreamConfig& config);

    const uint64_t id_;
    const HttpUrl url_;
    const std::string name_;
    const UpstreamConfig config_;
    const std::shared_ptr<NameLookup> names_;
    std::unique_ptr<UpstreamTls> tls_;

    std::atomic<uint32_t> n_in_flight_ = 0;
    std::atomic<bool> answers_ = false;
    std::atomic<uint32_t> n_connects_failed_ = 0;    // in a row
    std::atomic<Clock::rep> passed_over_until_ = 0;  // since the clock's epoch
    std::array<std::atomic<uint64_t>, kStatusClasses> n_statuses_ = {};
    std::array<std::atomic<uint64_t>, kUpstreamFailures> n_failures_ = {};
};

// What they count.
void add_upstream_metrics(std::span<const std::shared_ptr<Upstream>> upstreams,
                          MetricsText& metrics);

// Those that may be asked now, the least busy first, then the others. `turn` says which of equals
// comes first.
std::vector<std::shared_ptr<Upstream>> by_load(std::span<const std::shared_ptr<Upstream>> upstreams,
                                               size_t turn);

}  // namespace spolia
