#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "adapters/llama_server/server_client.h"
#include "broker/http/proxy.h"
#include "broker/proxy/composer_keeper.h"
#include "broker/proxy/slot_composer.h"
#include "broker/proxy/slot_watch.h"
#include "broker/service.h"
#include "broker/wire/upstream_request.h"
#include "broker/worker_pool.h"

namespace spolia {

// Stands in front of a llama-server: requests to generate have their prompts composed and put into
// one of its slots, then go on to it as the client sent them, but for the slot's number; everything
// else goes on untouched. What can't be composed, the server computes.
class LlamaServerProxy final : public Proxy {
public:
    // `service` has the server's model, and outlives this; without one (null) nothing is composed,
    // and prompts go to the slots that hold most of their beginning. `props` are the server's, and
    // `slot_directory` is its --slot-save-path.
    LlamaServerProxy(std::shared_ptr<Upstream> upstream, ServerCall call, ServerProps props,
                     Service* service, std::filesystem::path slot_directory, JsonLimits limits);
    ~LlamaServerProxy() override;

    Reply route(const HttpRequest& request, std::string_view tenant) override;
    bool wants_body(const HttpRequest& head) const override;
    bool ready() const override;
    std::string metrics_text() const override;

    // Whether the server takes what is composed.
    bool hands_over() const { return composers_.composer() != nullptr; }

private:
    // A request on its way to a slot.
    struct Job {
        HttpRequest request;
        std::string tenant;
        Deferred::Finish finish;
        std::stop_token gone;  // nobody waits for the answer any more
    };

    // What is known of a job's prompt.
    struct Prompt {
        GenerateRequest request;  // id, tenant, tokens; all of it where it may be composed
        std::string fallback;     // why it may not; empty: it may
        bool slot_open = false;   // the server may be told which slot to take; else it chooses
        std::optional<ApiError> refusal;
    };

    Reply on_worker(const HttpRequest& request, std::string_view tenant,
                    void (LlamaServerProxy::*serve)(const Job&));
    void serve_prompt(const Job& job);
    void serve_in_any_slot(const Job& job);
    void send(const Job& job, Prompt prompt, SlotLease lease, SlotFill fill);
    void let_choose(const Job& job, std::string tenant, std::string fallback);
    // Of what must not become the cached prefix of a request whose slot the server chooses.
    Status clear_slots(const Job& job, const std::string& tenant);
    SlotFill compose(const Job& job, SlotLease& lease, const GenerateRequest& request);
    Prompt read_prompt(const Job& job) const;
    // Its tokens only, which the server is asked for.
    Prompt ask_for_prompt(const Job& job) const;
    // Why the server has to compute the prompt; empty: it need not.
    std::string check(const UpstreamRequest& parsed, const HttpRequest& request) const;
    // Keeps what the server computed in a slot, and then gives it back.
    void keep(SlotLease lease, std::vector<Token> prompt);

    const std::shared_ptr<Upstream> upstream_;
    const LlamaServerClient server_;
    const ServerProps props_;
    Service* const service_;
    const JsonLimits limits_;
    const std::shared_ptr<SlotState> state_;
    ComposerKeeper composers_;
    WorkerPool workers_;
    WorkerPool savers_;  // of their own: those above may wait for the slots that these hold
};

}  // namespace spolia
