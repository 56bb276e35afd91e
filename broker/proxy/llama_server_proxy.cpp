#include "broker/proxy/llama_server_proxy.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include "broker/log.h"

namespace spolia {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// Requests that generate, for which a slot is chosen here.
constexpr std::array<std::string_view, 5> kGenerating = {
    "/v1/chat/completions", "/chat/completions", "/v1/completions", "/completions", "/completion"};

constexpr size_t kWaitingMax = 256;  // requests that wait for a thread of ours
constexpr seconds kSlotWait{600};    // for a slot
constexpr seconds kProbeWait{1};     // the same, to check the server
constexpr seconds kProbePause{2};    // between looks at it
constexpr seconds kProbeAgain{60};   // before it is checked again where it does not take slots

// Others that take slots, of the server's choice.
constexpr std::array<std::string_view, 4> kSlotTakers = {"/v1/messages", "/v1/responses",
                                                         "/responses", "/infill"};

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

}  // namespace

LlamaServerProxy::LlamaServerProxy(std::shared_ptr<Upstream> upstream, ServerCall call,
                                   ServerProps props, Service* service,
                                   LlamaServerProxyOptions options)
    : upstream_(std::move(upstream)),
      server_(std::move(call)),
      props_(std::move(props)),
      service_(service),
      options_(std::move(options)),
      state_(std::make_shared<SlotState>(props_.n_slots)),
      workers_(static_cast<size_t>(props_.n_slots), kWaitingMax, "slots of the llama-server"),
      keeper_([this] { keep_composer(); }) {
    if (service_ == nullptr) return;
    state_->set_keep([this](SlotLease lease, std::vector<Token> prompt) {
        keep(std::move(lease), std::move(prompt));
    });
}

LlamaServerProxy::~LlamaServerProxy() {
    state_->set_keep({});
    {
        const MutexLock lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    keeper_.join();
}

bool LlamaServerProxy::wants_body(const HttpRequest& head) const { return generates(head); }

bool LlamaServerProxy::ready() const { return answers_; }

std::string LlamaServerProxy::metrics_text() const {
    return upstream_metrics_text({&upstream_, 1}) + state_->counts.metrics_text();
}

Reply LlamaServerProxy::route(const HttpRequest& request, std::string_view tenant) {
    if (administers(request)) {
        if (!tenant.empty()) return not_for_tenants(request);
        state_->suspect = state_->suspect || request.method != "GET";
    }
    if (!generates(request)) {
        if (std::ranges::find(kSlotTakers, request.path) != kSlotTakers.end()) {
            state_->table.forget_all();
        }
        return Forward{.candidates = {upstream_}};
    }
    Deferred deferred;
    deferred.start = [this, request, tenant = std::string(tenant)](Finish finish) {
        const auto job = std::make_shared<Job>(Job{request, tenant, std::move(finish)});
        const Status queued = workers_.run([this, job] {
            try {
                serve(*job);
            } catch (const std::exception& failure) {
                const Error error{ErrorCode::kInternal, failure.what()};
                job->finish(error_response(api_error(error)));
            }
        });
        if (!queued) job->finish(error_response(api_error(queued.error())));
    };
    return deferred;
}

void LlamaServerProxy::serve(const Job& job) {
    Prompt prompt = service_ != nullptr ? read_prompt(job) : ask_for_prompt(job);
    if (prompt.refusal) return job.finish(error_response(*prompt.refusal));
    SlotFill fill;
    fill.fallback = std::move(prompt.fallback);
    const GenerateRequest& request = prompt.request;
    std::optional<SlotLease> lease = leaves_slot_open(job.request.body, options_.limits)
                                         ? state_->table.take(request.prompt.tokens, request.tenant,
                                                              steady_clock::now() + kSlotWait)
                                         : std::nullopt;
    const std::shared_ptr<SlotComposer> composer = this->composer();
    if (fill.fallback.empty() && !lease) fill.fallback = "slots_busy";
    if (fill.fallback.empty() && composer == nullptr) fill.fallback = "no_handover";
    if (fill.fallback.empty()) {
        fill = composer->fill(*lease, request, state_->speed.ms_per_token());
    }
    bool cache_prompt = true;
    if (fill.n_rows == 0) {
        state_->counts.add_fallback(fill.fallback);
        if (!lease) {
            state_->table.forget_all();
        } else if (lease->must_clear()) {
            cache_prompt = server_.erase_slot(lease->slot()).ok();
        }
    }
    Forward sent{.candidates = {upstream_}};
    const std::string& body = job.request.body;
    sent.body = lease ? with_slot(body, lease->slot(), cache_prompt) : body;
    sent.watch = std::make_shared<SlotWatch>(state_, std::move(lease),
                                             std::move(prompt.request.prompt.tokens),
                                             std::move(prompt.request.id), std::move(fill));
    job.finish(std::move(sent));
}

LlamaServerProxy::Prompt LlamaServerProxy::read_prompt(const Job& job) const {
    const RequestContext context{service_->text(), {}, job.tenant, options_.limits};
    Parsed<UpstreamRequest> parsed = parse_upstream_request(job.request.body, context);
    Prompt prompt;
    if (!parsed.ok()) {
        prompt.fallback = "not_understood";
        prompt.slot_open = leaves_slot_open(job.request.body, options_.limits);
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
    prompt.slot_open = leaves_slot_open(job.request.body, options_.limits);
    const Parsed<UpstreamPrompt> parsed =
        parse_upstream_prompt(job.request.body, job.tenant, options_.limits);
    if (!parsed.ok()) return prompt;
    prompt.request.tenant = parsed->tenant;
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
    const Status queued = workers_.run([this, kept] {
        const SlotKeeper keeper(*service_, server_, options_.slot_directory);
        Result<std::vector<Token>> tokens = keeper.keep(kept->lease, kept->prompt);
        if (!tokens) {
            log_event(LogLevel::kInfo, "a slot was not kept: " + tokens.error().message);
            return;
        }
        const auto n_exact = static_cast<int32_t>(tokens->size());
        kept->lease.settle(*std::move(tokens), n_exact);
    });
    if (queued) return;
    const auto n_exact = static_cast<int32_t>(kept->prompt.size());
    kept->lease.settle(std::move(kept->prompt), n_exact);
}

std::shared_ptr<SlotComposer> LlamaServerProxy::composer() const {
    const MutexLock lock(mutex_);
    return state_->suspect ? nullptr : composer_;
}

void LlamaServerProxy::keep_composer() {
    Attempts attempts;
    for (;;) {
        try {
            look_at_server(attempts);
        } catch (const std::exception& failure) {
            log_event(LogLevel::kError, "looking at the llama-server failed",
                      {{"error", failure.what()}});
        }
        const MutexLock lock(mutex_);
        const auto next = steady_clock::now() + kProbePause;
        while (!stopping_ && wake_.wait_until(mutex_, next)) {}
        if (stopping_) return;
    }
}

void LlamaServerProxy::look_at_server(Attempts& attempts) {
    const Result<ServerProps> props = server_.props();
    answers_ = props.ok();
    const bool same = props && props->build == props_.build &&
                      props->model_path == props_.model_path && props->n_ctx == props_.n_ctx;
    if (!same) state_->suspect = true;
    if (!props) return;
    if (state_->suspect) {
        state_->table.forget_all();
        attempts.next = {};
        {
            const MutexLock lock(mutex_);
            composer_ = nullptr;
        }
        state_->suspect = false;
    }
    if (service_ == nullptr || hands_over() || steady_clock::now() < attempts.next) return;
    const Status opened = try_open(*props);
    if (opened) {
        attempts.last_failure.clear();
        return;
    }
    const ErrorCode code = opened.error().code;
    const bool passes = code == ErrorCode::kIo || code == ErrorCode::kOverloaded;
    attempts.next = steady_clock::now() + (passes ? kProbePause : kProbeAgain);
    if (opened.error().message == attempts.last_failure) return;
    attempts.last_failure = opened.error().message;
    log_event(LogLevel::kWarning,
              "prompts are left to the llama-server: " + opened.error().message);
}

Status LlamaServerProxy::try_open(const ServerProps& props) {
    if (props.n_slots != props_.n_slots) {
        return Error{ErrorCode::kUnsupported, "it has another number of slots now; restart spolia"};
    }
    const auto deadline = steady_clock::now() + kProbeWait;
    const std::optional<SlotLease> slot = state_->table.take({}, {}, deadline);
    if (!slot) return Error{ErrorCode::kOverloaded, "all of its slots are busy"};
    Result<std::unique_ptr<SlotComposer>> opened =
        SlotComposer::open(*service_, server_, props, options_.slot_directory, slot->slot());
    if (!opened) return opened.error();
    log_event(LogLevel::kInfo, "prompts are put into the llama-server's slots",
              {{"server", upstream_->name()},
               {"build", props.build},
               {"slots", int64_t{props.n_slots}},
               {"directory", options_.slot_directory.string()}});
    const MutexLock lock(mutex_);
    composer_ = std::move(*opened);
    return {};
}

}  // namespace spolia
