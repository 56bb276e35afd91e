#include "broker/proxy/warm_up.h"

#include <chrono>
#include <utility>

#include "broker/http/client.h"
#include "broker/log.h"

namespace spolia {
namespace {

// For a long text on a busy server. The end of this process waits for it.
constexpr std::chrono::seconds kPatience{20};

}  // namespace

WarmUp::WarmUp() {
    thread_ = std::thread([this] { run(); });
}

WarmUp::~WarmUp() {
    {
        const MutexLock lock(mutex_);
        stopped_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

bool WarmUp::send(std::shared_ptr<Upstream> upstream, std::string body) {
    if (upstream->url().tls) return false;
    {
        const MutexLock lock(mutex_);
        if (jobs_.size() >= kQueueMax) return false;
        jobs_.push_back({std::move(upstream), std::move(body)});
    }
    changed_.notify_one();
    return true;
}

void WarmUp::run() {
    for (;;) {
        Job job;
        {
            const MutexLock lock(mutex_);
            while (jobs_.empty() && !stopped_) changed_.wait(mutex_);
            if (stopped_) return;
            job = std::move(jobs_.front());
            jobs_.pop_front();
        }
        send_now(job);
    }
}

void WarmUp::send_now(const Job& job) {
    const HttpUrl& url = job.upstream->url();
    const Upstream::InFlight in_flight(*job.upstream);
    HttpClient client(url.host, url.port, kPatience);
    const std::string& key = job.upstream->config().key;
    if (!key.empty()) client.set_header("Authorization", "Bearer " + key);
    const Result<HttpReply> reply =
        client.call("POST", url.path + "/v1/chat/completions", job.body);
    if (reply.ok() && reply->status == 200) return;
    const std::string reason =
        reply.ok() ? "HTTP " + std::to_string(reply->status) : reply.error().message;
    log_event(LogLevel::kWarning, "a text could not be warmed up",
              {{"upstream", job.upstream->name()}, {"reason", reason}});
}

}  // namespace spolia
