#include "broker/proxy/llama_server_proxy.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <exception>
#include <memory>
#include <utility>

#include "broker/log.h"

namespace spolia {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// Requests that generate, for which a slot is chosen here.
constexpr std::array<std::string_view, 5> kGenerating = {
    "/v1/chat/completions", "/chat/completions", "/v1/completions", "/completions", "/completion"};

// Others that compute prompts, in slots of the server's choice.
constexpr std::array<std::string_view, 6> kSlotTakers = {
    "/v1/messages",         "/v1/responses", "/responses", "/infill", "/v1/audio/transcriptions",
    "/audio/transcriptions"};

constexpr std::string_view kRestoreFailed = "restore_failed";
constexpr std::string_view kRestoreLate = "restore_late";
constexpr size_t kWaitingMax = 256;  // requests that wait for a thread of ours
constexpr seconds kSlotWait{600};    // for a slot

// What changes the server for everybody, or shows what others asked it.
bool administers(const HttpRequest& request) {
    const std::string& path = request.path;
    return path.starts_with("/slots") || path.starts_with("/lora-adapters") ||
           path.starts_with("/models/") || (path == "/props" && request.method != "GET");
}

HttpResponse not_for_tenants(const HttpRequest& request) {
    return error_response(ApiError{403,
                                   request.path + " is for keys that belong to no tenant: it is "
                                                  "everybody's llama-server",
                                   "permission_error", "", "not_permitted"});
}

bool generates(const HttpRequest& request) {
    return request.method == "POST" &&
           std::ranges::find(kGenerating, request.path) != kGenerating.end();
}

// llama-server's HTTP library cuts a target at '#' and knows another escape, "%uXXXX": it would see
// another path than we do.
bool reads_otherwise(std::string_view target) {
    const auto is_hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
    for (size_t i = 0; i < target.size(); ++i) {
        if (target[i] == '#') return true;
        if (target[i] != '%') continue;
        if (i + 2 >= target.size() || !is_hex(target[i + 1]) || !is_hex(target[i + 2])) return true;
    }
    return false;
}

HttpResponse unclear_target() {
    return error_response(
        bad_request("the request's target has a '#', or a '%' that is no escape"));
}

bool takes_slot(const HttpRequest& request) {
    return request.method == "POST" &&
           std::ranges::find(kSlotTakers, request.path) != kSlotTakers.end();
}

}  // namespace

LlamaServerProxy::LlamaServerProxy(std::shared_ptr<Upstream> upstream, ServerCall call,
                                   ServerProps props, Service* service,
                                   std::filesystem::path slot_directory, JsonLimits limits)
    : upstream_(std::move(upstream)),
      server_(std::move(call)),
      props_(std::move(props)),
      service_(service),
      limits_(limits),
      state_(std::make_shared<SlotState>(props_.n_slots)),
      composers_(server_, props_, service_, std::move(slot_directory), *state_),
      workers_(static_cast<size_t>(props_.n_slots), kWaitingMax, "slots of the llama-server"),
      savers_(1, static_cast<size_t>(props_.n_slots), "slots to be saved") {
    if (service_ == nullptr) return;
    state_->set_keep([this](SlotLease lease, std::vector<Token> prompt) {
        keep(std::move(lease), std::move(prompt));
    });
}

LlamaServerProxy::~LlamaServerProxy() { state_->set_keep({}); }

bool LlamaServerProxy::wants_body(const HttpRequest& head) const {
    return generates(head) || takes_slot(head);
}

bool LlamaServerProxy::ready() const { return composers_.server_answers(); }

std::string LlamaServerProxy::metrics_text() const {
    MetricsText metrics;
    add_upstream_metrics({&upstream_, 1}, metrics);
    state_->counts.add_metrics(metrics);
    return metrics.text();
}

Reply LlamaServerProxy::route(const HttpRequest& request, std::string_view tenant) {
    if (reads_otherwise(request.target)) return unclear_target();
    Forward forward{.candidates = {upstream_}};
    if (administers(request)) {
        if (!tenant.empty()) return not_for_tenants(request);
        if (request.method != "GET") {
            state_->suspect = true;
            forward.watch = std::make_shared<AdministrationWatch>(state_);
        }
    }
    if (generates(request)) return on_worker(request, tenant, &LlamaServerProxy::serve_prompt);
    if (takes_slot(request))
        return on_worker(request, tenant, &LlamaServerProxy::serve_in_any_slot);
    return forward;
}

Reply LlamaServerProxy::on_worker(const HttpRequest& request, std::string_view tenant,
                                  void (LlamaServerProxy::*serve)(const Job&)) {
    Deferred deferred;
    deferred.start = [this, serve, request, tenant = std::string(tenant)](
                         Deferred::Finish finish, const std::stop_token& gone) {
        const auto job = std::make_shared<Job>(Job{request, tenant, std::move(finish), gone});
        const Status queued = workers_.run([this, serve, job] {
            if (job->gone.stop_requested()) return;
            try {
                (this->*serve)(*job);
            } catch (const std::exception& failure) {
                const Error error{ErrorCode::kInternal, failure.what()};
                job->finish(error_response(api_error(error)));
            }
        });
        if (!queued) job->finish(error_response(api_error(queued.error())));
    };
    return deferred;
}

void LlamaServerProxy::serve_prompt(const Job& job) {
    Prompt prompt = service_ != nullptr ? read_prompt(job) : ask_for_prompt(job);
    if (prompt.refusal) return job.finish(error_response(*prompt.refusal));
    if (!prompt.slot_open) {
        return let_choose(job, std::move(prompt.request.tenant), std::move(prompt.fallback));
    }
    const GenerateRequest& request = prompt.request;
    std::optional<SlotLease> lease = state_->table.take(request.prompt.tokens, request.tenant,
                                                        steady_clock::now() + kSlotWait, job.gone);
    if (job.gone.stop_requested()) return;
    if (!lease) {
        const Error busy{ErrorCode::kOverloaded,
                         "all slots of the llama-server are busy; try again later"};
        return job.finish(error_response(api_error(busy)));
    }
    SlotFill fill;
    fill.fallback = std::move(prompt.fallback);
    if (fill.fallback.empty()) fill = compose(job, *lease, request);
    if (job.gone.stop_requested()) return;
    send(job, std::move(prompt), *std::move(lease), std::move(fill));
}

SlotFill LlamaServerProxy::compose(const Job& job, SlotLease& lease,
                                   const GenerateRequest& request) {
    SlotFill fill;
    const std::shared_ptr<SlotComposer> composer = composers_.composer();
    if (composer != nullptr) {
        fill = composer->compose(lease, request, state_->speed.ms_per_token(), job.gone);
        if (!fill.fallback.empty() || job.gone.stop_requested()) return fill;
    }
    // The server may be another one by now.
    if (composer == nullptr || composer != composers_.composer()) {
        fill.fallback = "no_handover";
        return fill;
    }
    const auto n_tokens = static_cast<int32_t>(request.prompt.tokens.size());
    const Status restored = composer->restore(lease, n_tokens);
    if (restored) {
        fill.n_rows = n_tokens;
    } else if (restored.error().code == ErrorCode::kOverloaded) {
        fill.fallback = "server_chooses";
    } else {
        log_event(LogLevel::kWarning, restored.error().message);
        // No answer may mean that the slot is busy; any other one, that the server has changed.
        const bool late = restored.error().code == ErrorCode::kIo;
        fill.fallback = late ? kRestoreLate : kRestoreFailed;
        if (!late) state_->suspect = true;
    }
    return fill;
}

void LlamaServerProxy::send(const Job& job, Prompt prompt, SlotLease lease, SlotFill fill) {
    bool cache_prompt = true;
    if (fill.n_rows == 0) {
        state_->counts.add_fallback(fill.fallback);
        lease.touch();
        if (fill.fallback == kRestoreLate) {
            cache_prompt = false;  // it may still be done, and so would an erasing
        } else if (lease.must_clear() || fill.fallback == kRestoreFailed) {
            cache_prompt = server_.erase_slot(lease.slot()).ok();
        }
    }
    Forward sent{.candidates = {upstream_}};
    sent.body = with_slot(job.request.body, lease.slot(), cache_prompt);
    sent.watch = std::make_shared<SlotWatch>(state_, std::move(lease),
                                             std::move(prompt.request.prompt.tokens),
                                             std::move(prompt.request.id), std::move(fill));
    job.finish(std::move(sent));
}

void LlamaServerProxy::serve_in_any_slot(const Job& job) {
    let_choose(job, job.tenant, "other_api");
}

void LlamaServerProxy::let_choose(const Job& job, std::string tenant, std::string fallback) {
    SlotChoice choice = state_->table.choose(tenant);
    const Status cleared = clear_slots(job, tenant);
    if (job.gone.stop_requested()) return;
    if (!cleared) return job.finish(error_response(api_error(cleared.error())));
    state_->counts.add_fallback(fallback);
    Forward sent{.candidates = {upstream_}};
    sent.watch = std::make_shared<ChoiceWatch>(state_, std::move(choice), std::move(fallback));
    job.finish(std::move(sent));
}

Status LlamaServerProxy::clear_slots(const Job& job, const std::string& tenant) {
    const auto deadline = steady_clock::now() + kSlotWait;
    for (;;) {
        Result<std::optional<SlotLease>> composed =
            state_->table.take_composed(tenant, deadline, job.gone);
        if (!composed) return composed.error();
        if (!*composed) break;
        const Status erased = server_.erase_slot((*composed)->slot());
        if (erased) {
            (*composed)->settle_unseen();
        } else if (erased.error().code == ErrorCode::kUnsupported) {
            return {};  // a server that can't erase slots can't restore them either
        } else {
            return Error{ErrorCode::kOverloaded,
                         "a slot of the llama-server can't be cleared: " + erased.error().message};
        }
    }
    // How long an answer takes would tell of other tenants' prompts. Where they are served at the
    // same time it may all the same: nobody knows the slot.
    while (std::optional<SlotLease> foreign = state_->table.take_foreign(tenant)) {
        foreign->touch();
        if (!server_.erase_slot(foreign->slot())) break;
        foreign->settle_unseen();
    }
    return {};
}

LlamaServerProxy::Prompt LlamaServerProxy::read_prompt(const Job& job) const {
    const RequestContext context{service_->text(), {}, job.tenant, limits_};
    Parsed<UpstreamRequest> parsed = parse_upstream_request(job.request.body, context);
    Prompt prompt;
    if (!parsed.ok()) {
        prompt.fallback = "not_understood";
        prompt.request.tenant = job.tenant;
        prompt.slot_open = leaves_slot_open(job.request.body, limits_);
        if (parsed.error().param.starts_with("spolia")) prompt.refusal = parsed.error();
        return prompt;
    }
    prompt.fallback = check(*parsed, job.request);
    prompt.slot_open = !parsed->own_way;
    prompt.request = std::move(parsed->generate);
    return prompt;
}

LlamaServerProxy::Prompt LlamaServerProxy::ask_for_prompt(const Job& job) const {
    Prompt prompt;
    prompt.fallback = "no_model";
    prompt.slot_open = leaves_slot_open(job.request.body, limits_);
    const Parsed<UpstreamPrompt> parsed =
        parse_upstream_prompt(job.request.body, job.tenant, limits_);
    prompt.request.tenant = parsed.ok() ? parsed->tenant : job.tenant;
    if (!parsed.ok()) return prompt;
    const Result<std::string> text =
        parsed->text ? *parsed->text : server_.apply_template(job.request.body);
    if (!text) return prompt;
    Result<std::vector<Token>> tokens = server_.tokenize(*text);
    if (tokens) prompt.request.prompt.tokens = *std::move(tokens);
    return prompt;
}

std::string LlamaServerProxy::check(const UpstreamRequest& parsed,
                                    const HttpRequest& request) const {
    if (parsed.own_way) return "own_way";
    const TokenizedText& prompt = parsed.generate.prompt;
    if (parsed.surface == Surface::kChat) {
        const Result<std::string> rendered = server_.apply_template(request.body);
        if (!rendered) return "upstream_error";
        if (*rendered != prompt.text) return "template_differs";
    }
    if (!parsed.given_ids) {
        const Result<std::vector<Token>> tokens = server_.tokenize(prompt.text);
        if (!tokens) return "upstream_error";
        if (*tokens != prompt.tokens) return "tokens_differ";
    }
    return {};
}

void LlamaServerProxy::keep(SlotLease lease, std::vector<Token> prompt) {
    struct Kept {
        SlotLease lease;
        std::vector<Token> prompt;
    };
    const auto kept = std::make_shared<Kept>(Kept{std::move(lease), std::move(prompt)});
    const std::shared_ptr<SlotFolder> folder = composers_.folder();
    const auto copy = [this, kept, folder] {
        const SlotKeeper keeper(*service_, server_, *folder);
        Result<std::vector<Token>> tokens = keeper.keep(kept->lease, kept->prompt);
        if (!tokens) {
            log_event(LogLevel::kInfo, "a slot was not kept: " + tokens.error().message);
            return;
        }
        const auto n_exact = static_cast<int32_t>(tokens->size());
        kept->lease.settle(*std::move(tokens), n_exact);
    };
    if (folder != nullptr && savers_.run(copy)) return;
    const auto n_exact = static_cast<int32_t>(kept->prompt.size());
    kept->lease.settle(std::move(kept->prompt), n_exact);
}

}  // namespace spolia
