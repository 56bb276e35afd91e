#include "broker/proxy/llama_server_stack.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "adapters/llama/model.h"
#include "broker/log.h"
#include "broker/proxy/server_call.h"

namespace spolia {
namespace {

constexpr std::chrono::milliseconds kAskAgain{500};
// Of one prompt that is composed, and one that is kept for the next.
constexpr int32_t kSequencesMax = 2;

Result<ServerProps> await_props(const LlamaServerClient& server, const std::future<void>& stopped) {
    for (;;) {
        Result<ServerProps> props = server.props();
        // A server that is not there yet, or loads its model.
        const bool wait = !props && (props.error().code == ErrorCode::kIo ||
                                     props.error().code == ErrorCode::kOverloaded);
        if (!wait) return props;
        if (stopped.wait_for(kAskAgain) == std::future_status::ready) {
            return Error{ErrorCode::kCancelled, "stopped"};
        }
    }
}

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

bool is_llama_server(const UpstreamConfig& config) {
    if (config.kind != UpstreamKind::kAuto) return config.kind == UpstreamKind::kLlamaServer;
    if (config.urls.size() != 1) return false;
    const Result<ServerCall> call = open_server_call(config);
    return call && LlamaServerClient(*call).props().ok();
}

Result<LlamaServerStack> open_llama_server_stack(Config config, const ServerCall& call,
                                                 const std::future<void>& stopped) {
    const Result<ServerProps> props = await_props(LlamaServerClient(call), stopped);
    if (!props) return props.error();
    // A llama-server has a thread for each connection that is kept, and few of them.
    config.upstream.connections_idle_max = 0;
    const Result<std::shared_ptr<Upstream>> upstream =
        Upstream::open(config.upstream.urls.front(), config.upstream);
    if (!upstream) return upstream.error();
    LlamaServerStack stack;
    Result<LocalStack> local = open_model(config, *props, *upstream);
    if (local) {
        stack.local = *std::move(local);
    } else {
        log_event(LogLevel::kWarning,
                  "prompts are left to the llama-server, in the slots that fit "
                  "best: " +
                      local.error().message);
    }
    LlamaServerProxyOptions options{.slot_directory = config.upstream.slot_directory, .limits = {}};
    options.limits.depth_max = config.server.json_depth_max;
    stack.proxy = std::make_unique<LlamaServerProxy>(*upstream, call, *props,
                                                     stack.local.service.get(), std::move(options));
    return stack;
}

}  // namespace spolia
