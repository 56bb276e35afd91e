#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/openai/prefix_router.h"
#include "adapters/openai/request_editor.h"
#include "broker/config.h"
#include "broker/http/proxy.h"
#include "broker/http/upstream_probe.h"
#include "broker/proxy/health_checks.h"
#include "broker/proxy/upstream_group.h"
#include "broker/proxy/warm_up.h"

namespace spolia {

// In front of OpenAI-compatible servers that have the same models: sends prompts that begin alike
// to the same one, and changes requests where the configuration says so. Answers /v1/upstreams
// itself.
class AffinityProxy : public Proxy {
public:
    AffinityProxy(const UpstreamConfig& config, std::vector<std::shared_ptr<Upstream>> upstreams);

    Reply route(const HttpRequest& request, std::string_view tenant) override;
    bool wants_body(const HttpRequest& head) const override;
    bool answers(const HttpRequest& head) const override;
    bool ready() const override { return group_.ready(); }
    std::string metrics_text() const override { return group_.metrics_text(); }

private:
    // A request as it is to be sent.
    struct Prompt {
        std::optional<std::string> body;  // in place of the client's
        std::vector<Key128> chain;        // empty: its place does not matter, or can't be told
    };

    Reply route_prompt(const HttpRequest& request, std::string_view tenant);
    Reply route_any();
    HttpResponse list() const;
    HttpResponse switch_draining(const HttpRequest& request, std::string_view tenant);
    HttpResponse warm_up(const HttpRequest& request, std::string_view tenant);
    Prompt prompt_of(std::string_view body, std::string_view tenant);
    // Empty: what there is stays.
    std::string salt_of(std::string_view body, ByteRange root, std::string_view tenant) const;

    const UpstreamConfig config_;
    const bool affine_;
    const bool changes_any_;  // something may change in any request
    const bool edits_;        // or in those that have a "spolia"
    UpstreamGroup group_;
    PrefixRouter router_;
    RequestEditor editor_;
    std::unique_ptr<HealthChecks> checks_;  // null: switched off
    std::unique_ptr<UpstreamProbe> probe_;  // the same, of those that checks_ leaves out
    std::unique_ptr<WarmUp> warm_up_;       // null: switched off
};

}  // namespace spolia
