#include "broker/proxy/llama_server_stack.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "adapters/llama/model.h"
#include "broker/http/url.h"
#include "broker/log.h"

namespace spolia {
namespace {

constexpr std::chrono::milliseconds kAskAgain{500};
// Of one prompt that is composed, and one that is kept for the next.
constexpr int32_t kSequencesMax = 2;

Result<std::filesystem::path> model_of(const Config& config, const ServerProps& props) {
    if (!config.model.path.empty()) return config.model.path;
    if (access(props.model_path.c_str(), R_OK) == 0) {
        return std::filesystem::path(props.model_path);
    }
    return Error{ErrorCode::kNotFound,
                 "its model, '" + props.model_path +
                     "', can't be read here; name the same GGUF file with --model"};
}

// The server's model, with sequences as long as its slots.
Result<LocalStack> open_model(Config config, const ServerProps& props,
                              const std::shared_ptr<Upstream>& upstream) {
    const Result<std::filesystem::path> model = model_of(config, props);
    if (!model) return model.error();
    if (Status whole = LlamaModel::check_file(model->string()); !whole) return whole.error();
    config.model.path = *model;
    config.model.n_ctx = props.n_ctx;
    config.model.n_sequences = std::min(config.model.n_sequences, kSequencesMax);
    return open_local_stack(config, {.chat_template = props.chat_template,
                                     .busy = [upstream] { return upstream->n_in_flight() > 0; },
                                     .name = "llama-server " + props.build});
}

}  // namespace

bool may_be_llama_server(const UpstreamConfig& config) {
    if (config.kind != UpstreamKind::kAuto) return config.kind == UpstreamKind::kLlamaServer;
    return config.urls.size() == 1 && parse_http_url(config.urls.front()).ok();
}

Result<ServerProps> await_props(const ServerCall& call) {
    const LlamaServerClient server(call);
    for (bool told = false;;) {
        Result<ServerProps> props = server.props();
        // A server that is not there yet, or loads its model.
        const bool wait = !props && (props.error().code == ErrorCode::kIo ||
                                     props.error().code == ErrorCode::kOverloaded);
        if (!wait) return props;
        if (!std::exchange(told, true)) {
            log_event(LogLevel::kInfo, "waiting for the upstream to say what it has",
                      {{"reason", props.error().message}});
        }
        std::this_thread::sleep_for(kAskAgain);
    }
}

Result<LlamaServerStack> open_llama_server_stack(Config config, const ServerCall& call,
                                                 const ServerProps& props) {
    // A llama-server has a thread for each connection that is kept, and few of them.
    config.upstream.connections_idle_max = 0;
    const Result<std::shared_ptr<Upstream>> upstream =
        Upstream::open(config.upstream.urls.front(), config.upstream);
    if (!upstream) return upstream.error();
    LlamaServerStack stack;
    Result<LocalStack> local = open_model(config, props, *upstream);
    if (local) {
        stack.local = *std::move(local);
    } else {
        log_event(LogLevel::kWarning,
                  "prompts are left to the llama-server, in the slots that fit "
                  "best: " +
                      local.error().message);
    }
    JsonLimits limits;
    limits.depth_max = config.server.json_depth_max;
    stack.proxy = std::make_unique<LlamaServerProxy>(
        *upstream, call, props, stack.local.service.get(), config.upstream.slot_directory, limits);
    return stack;
}

}  // namespace spolia
