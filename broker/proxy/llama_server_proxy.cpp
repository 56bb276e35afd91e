#include "broker/proxy/llama_server_proxy.h"

#include <algorithm>
#include <array>
#include <chrono>
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
constexpr seconds kProbePause{2};    // between attempts to check it

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
      keeper_([this] { keep_composer(); }) {}

LlamaServerProxy::~LlamaServerProxy() {
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
    if (!generates(request)) return Forward{.candidates = {upstream_}};
    Deferred deferred;
    deferred.start = [this, request, tenant = std::string(tenant)](Finish finish) {
        const auto job = std::make_shared<Job>(Job{request, tenant, std::move(finish)});
        const Status queued = workers_.run([this, job] { serve(*job); });
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
    if (fill.n_rows == 0) {
        state_->counts.add_fallback(fill.fallback);
        if (lease && lease->must_clear()) (void)server_.erase_slot(lease->slot());
    }
    job.finish(forward(job, std::move(lease), std::move(prompt.request), std::move(fill)));
}

LlamaServerProxy::Prompt LlamaServerProxy::read_prompt(const Job& job) const {
    const RequestContext context{service_->text(), {}, job.tenant, options_.limits};
    Parsed<UpstreamRequest> parsed = parse_upstream_request(job.request.body, context);
    Prompt prompt;
    if (!parsed.ok()) {
        prompt.fallback = "not_understood";
        if (parsed.error().param.starts_with("spolia")) prompt.refusal = parsed.error();
        return prompt;
    }
    prompt.fallback = check(*parsed, job.request);
    prompt.request = std::move(parsed->generate);
    return prompt;
}

LlamaServerProxy::Prompt LlamaServerProxy::ask_for_prompt(const Job& job) const {
    Prompt prompt;
    prompt.fallback = "no_model";
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

Forward LlamaServerProxy::forward(const Job& job, std::optional<SlotLease> lease,
                                  GenerateRequest request, SlotFill fill) const {
    Forward forward{.candidates = {upstream_}};
    forward.body = lease ? with_slot(job.request.body, lease->slot()) : job.request.body;
    forward.watch =
        std::make_shared<SlotWatch>(state_, std::move(lease), std::move(request.prompt.tokens),
                                    std::move(request.id), std::move(fill));
    return forward;
}

std::shared_ptr<SlotComposer> LlamaServerProxy::composer() const {
    const MutexLock lock(mutex_);
    return state_->suspect ? nullptr : composer_;
}

void LlamaServerProxy::keep_composer() {
    std::string last_failure;
    for (;;) {
        look_at_server(last_failure);
        const MutexLock lock(mutex_);
        const auto next = steady_clock::now() + kProbePause;
        while (!stopping_ && wake_.wait_until(mutex_, next)) {}
        if (stopping_) return;
    }
}

void LlamaServerProxy::look_at_server(std::string& last_failure) {
    const Result<ServerProps> props = server_.props();
    answers_ = props.ok();
    const bool same = props && props->build == props_.build &&
                      props->model_path == props_.model_path && props->n_ctx == props_.n_ctx;
    if (!same) state_->suspect = true;
    bool wanted = false;
    {
        const MutexLock lock(mutex_);
        wanted = composer_ == nullptr || state_->suspect;
    }
    if (wanted && service_ != nullptr) try_open(props, last_failure);
    if (wanted && service_ == nullptr && state_->suspect.exchange(false)) {
        state_->table.forget_all();
    }
}

void LlamaServerProxy::try_open(const Result<ServerProps>& props, std::string& last_failure) {
    const auto fail = [&](const std::string& why) {
        if (why != last_failure) {
            log_event(LogLevel::kWarning, "prompts are left to the llama-server: " + why);
        }
        last_failure = why;
    };
    state_->suspect = false;
    {
        const MutexLock lock(mutex_);
        composer_ = nullptr;
    }
    if (!props) return fail(props.error().message);
    if (props->n_slots != props_.n_slots) {
        return fail("it has another number of slots now; restart spolia");
    }
    state_->table.forget_all();
    const auto deadline = steady_clock::now() + kProbeWait;
    const std::optional<SlotLease> slot = state_->table.take({}, {}, deadline);
    if (!slot) return fail("all of its slots are busy");
    const std::optional<SlotLease> other = state_->table.take({}, {}, steady_clock::now());
    Result<std::unique_ptr<SlotComposer>> opened =
        SlotComposer::open(*service_, server_, *props, options_.slot_directory, slot->slot(),
                           other ? std::optional(other->slot()) : std::nullopt);
    if (!opened) return fail(opened.error().message);
    if ((*opened)->clears_idle()) {
        log_event(LogLevel::kWarning,
                  "the llama-server clears idle slots when a request begins in another: start it "
                  "with --no-cache-idle-slots, or some prompts that were put there are lost");
    }
    log_event(LogLevel::kInfo, "prompts are put into the llama-server's slots",
              {{"server", upstream_->name()},
               {"build", props->build},
               {"slots", int64_t{props->n_slots}},
               {"directory", options_.slot_directory.string()}});
    last_failure.clear();
    const MutexLock lock(mutex_);
    composer_ = std::move(*opened);
}

}  // namespace spolia
