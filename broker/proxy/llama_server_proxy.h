#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "adapters/llama_server/server_client.h"
#include "broker/http/proxy.h"
#include "broker/proxy/slot_composer.h"
#include "broker/proxy/slot_watch.h"
#include "broker/service.h"
#include "broker/wire/upstream_request.h"
#include "broker/worker_pool.h"
#include "index/thread_annotations.h"

namespace spolia {

struct LlamaServerProxyOptions {
    std::filesystem::path slot_directory;  // the server's --slot-save-path
    JsonLimits limits;
};

// Stands in front of a llama-server: requests to generate have their prompts composed and put into
// one of its slots, then go on to it as the client sent them, but for the slot's number; everything
// else goes on untouched. What can't be composed, the server computes.
class LlamaServerProxy final : public Proxy {
public:
    // `service` has the server's model, and outlives this; without one (null) nothing is composed,
    // and prompts go to the slots that hold most of their beginning. `props` are the server's.
    LlamaServerProxy(std::shared_ptr<Upstream> upstream, ServerCall call, ServerProps props,
                     Service* service, LlamaServerProxyOptions options);
    ~LlamaServerProxy() override;

    Reply route(const HttpRequest& request, std::string_view tenant) override;
    bool wants_body(const HttpRequest& head) const override;
    bool ready() const override;
    std::string metrics_text() const override;

    // Whether the server takes what is composed.
    bool hands_over() const EXCLUDES(mutex_) { return composer() != nullptr; }

private:
    using Finish = std::function<void(ReadyReply)>;

    // A request on its way to a slot.
    struct Job {
        HttpRequest request;
        std::string tenant;
        Finish finish;
    };

    // What is known of a job's prompt.
    struct Prompt {
        GenerateRequest request;  // id, tenant, tokens; all of it where it may be composed
        std::string fallback;     // why it may not; empty: it may
        bool slot_open = false;   // the server may be told which slot to take
        std::optional<ApiError> refusal;
    };

    // Of the thread that keeps the composer.
    struct Attempts {
        std::chrono::steady_clock::time_point next;  // not before
        std::string last_failure;                    // is logged once
    };

    void serve(const Job& job) EXCLUDES(mutex_);
    Prompt read_prompt(const Job& job) const;
    // Its tokens only, which the server is asked for.
    Prompt ask_for_prompt(const Job& job) const;
    // Why the server has to compute the prompt; empty: it need not.
    std::string check(const UpstreamRequest& parsed, const HttpRequest& request) const;
    // Keeps what the server computed in a slot, and then gives it back.
    void keep(SlotLease lease, std::vector<Token> prompt);

    std::shared_ptr<SlotComposer> composer() const EXCLUDES(mutex_);
    // Opens a composer whenever there is none, or the one there may be of another server.
    void keep_composer() EXCLUDES(mutex_);
    void look_at_server(Attempts& attempts) EXCLUDES(mutex_);
    Status try_open(const ServerProps& props) EXCLUDES(mutex_);

    const std::shared_ptr<Upstream> upstream_;
    const LlamaServerClient server_;
    const ServerProps props_;
    Service* const service_;
    const LlamaServerProxyOptions options_;
    const std::shared_ptr<SlotState> state_;

    std::atomic<bool> answers_ = false;
    mutable Mutex mutex_;
    CondVar wake_;
    bool stopping_ GUARDED_BY(mutex_) = false;
    std::shared_ptr<SlotComposer> composer_ GUARDED_BY(mutex_);

    WorkerPool workers_;
    std::thread keeper_;
};

}  // namespace spolia
