#include <semaphore.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <thread>

#include <CLI/CLI.hpp>

#include "adapters/llama/model.h"
#include "broker/cache_folder.h"
#include "broker/cli/chosen_embedder.h"
#include "broker/cli/commands.h"
#include "broker/cli/config_flags.h"
#include "broker/cli/own_models.h"
#include "broker/http/server.h"
#include "broker/local_stack.h"
#include "broker/log.h"
#include "broker/proxy/llama_server_stack.h"
#include "broker/proxy/open_proxy.h"
#include "broker/proxy/server_call.h"
#include "broker/rag/collection_service.h"

namespace spolia {
namespace {

constexpr const char* kExamples = R"(Without a model it serves the sample model, which answers
questions about the notes of `spolia tasks` and nothing else; give it --chunk-min 16.
With --upstream and no model it only forwards, to servers that are there.

Examples:
  spolia serve --model qwen2-0_5b-instruct-q8_0.gguf
  spolia serve --model model.gguf --ctx-size 16384 --cache-dir ~/.cache/spolia
  spolia serve --config spolia.toml --log-format json
  SPOLIA_API_KEY=team:SECRET spolia serve --model model.gguf --host 0.0.0.0
  spolia serve --upstream http://127.0.0.1:8081,http://127.0.0.1:8082 --port 8080
  spolia serve --model model.gguf --embedding-model bge-small-en-v1.5-q8_0.gguf

Clients use http://HOST:PORT/v1 as the base URL of OpenAI's API.)";

int fail(const Error& error, int code) {
    std::fprintf(stderr, "spolia serve: %s\n", error.message.c_str());
    return code;
}

int fail(const Error& error) {
    return fail(error, error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailure);
}

// SIGINT and SIGTERM, whichever thread gets them: libraries start some before main(), so that
// blocking them in all and waiting in one would not do.
class StopSignals {
public:
    static void take() {
        sem_init(&taken_, 0, 0);
        struct sigaction action = {};
        action.sa_handler = [](int) { sem_post(&taken_); };
        action.sa_flags = SA_RESTART;
        sigaction(SIGINT, &action, nullptr);
        sigaction(SIGTERM, &action, nullptr);
    }

    // For the next one.
    static void wait() {
        while (sem_wait(&taken_) != 0 && errno == EINTR) {}
    }

private:
    static inline sem_t taken_;
};

// While the model loads there is nothing to finish, and a second signal means at once: both end the
// process here. Otherwise the first one is what `stop` waits for.
void watch_signals(std::promise<void>& stop, const std::atomic<bool>& loaded) {
    StopSignals::wait();
    if (!loaded) std::_Exit(kExitFailure);
    stop.set_value();
    StopSignals::wait();
    std::_Exit(kExitFailure);
}

// The watching thread ends with the process only, and may outlive the call that starts it.
struct StopRequest {
    std::promise<void> promise;
    std::atomic<bool> loaded = false;
};

StopRequest& watch_for_stop() {
    static StopRequest stop;
    StopSignals::take();
    // Clients that went away and files that may not grow are errors of their writes.
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    std::thread([] { watch_signals(stop.promise, stop.loaded); }).detach();
    return stop;
}

void stop_server(HttpServer& server, Router& router, const ServerConfig& config) {
    log_event(LogLevel::kInfo, "stopping", {{"grace_ms", int64_t{config.stop_grace_ms}}});
    server.stop();
    router.detach();
}

// Without a model of its own: only what others answer.
int serve_upstreams(const Config& config, Proxy& proxy) {
    StopRequest& stop = watch_for_stop();
    Router router(config);
    router.attach_proxy(proxy);
    Result<std::unique_ptr<HttpServer>> server = HttpServer::start(config.server, router);
    if (!server.ok()) return fail(server.error());
    stop.loaded = true;
    log_event(LogLevel::kInfo, "ready",
              {{"upstreams", static_cast<int64_t>(config.upstream.urls.size())},
               {"host", config.server.host},
               {"port", int64_t{(*server)->port()}}});
    stop.promise.get_future().wait();
    stop_server(**server, router, config.server);
    return kExitOk;
}

int serve_model(Config config, Proxy* proxy) {
    const Result<std::filesystem::path> model = model_or_sample(config.model.path);
    if (!model.ok()) return fail(model.error());
    config.model.path = *model;
    // Loading goes on behind the open port; what can be told at once is told before.
    for (const std::filesystem::path& file : {*model, config.embedding.model}) {
        if (file.empty()) continue;
        const Status whole = LlamaModel::check_file(file.string());
        if (!whole.ok()) return fail(whole.error());
    }
    StopRequest& stop = watch_for_stop();

    Router router(config);
    if (proxy != nullptr) router.attach_proxy(*proxy);
    Result<std::unique_ptr<HttpServer>> server = HttpServer::start(config.server, router);
    if (!server.ok()) return fail(server.error());
    const int64_t port = (*server)->port();
    log_event(LogLevel::kInfo, "listening; the model is loading",
              {{"host", config.server.host}, {"port", port}});

    Result<std::unique_ptr<TextEmbedder>> embedder =
        open_chosen_embedder(config.embedding, EmbedderUse::kServe);
    if (!embedder.ok()) return fail(embedder.error());
    Result<LocalStack> stack = open_local_stack(config);
    if (!stack.ok()) return fail(stack.error());
    // Ends before the service that its requests are for.
    CollectionService collections(collections_folder(config.cache.directory), *std::move(embedder));
    router.attach_collections(collections);
    router.attach(*stack->service);
    stop.loaded = true;
    log_event(
        LogLevel::kInfo, "ready",
        {{"model", stack->service->model().name}, {"host", config.server.host}, {"port", port}});
    stop.promise.get_future().wait();
    stop_server(**server, router, config.server);
    return kExitOk;
}

// In front of a llama-server. Its requests pass from the start; once it has said which model it
// has, this is loaded, and prompts are put into its slots.
int serve_llama_server(const Config& config, Proxy& pass_through) {
    const Result<ServerCall> call = open_server_call(config.upstream);
    if (!call.ok()) return fail(call.error());
    StopRequest& stop = watch_for_stop();
    Router router(config);
    router.attach_proxy(pass_through);
    Result<std::unique_ptr<HttpServer>> server = HttpServer::start(config.server, router);
    if (!server.ok()) return fail(server.error());
    stop.loaded = true;
    std::future<void> stopped = stop.promise.get_future();
    const int64_t port = (*server)->port();
    log_event(LogLevel::kInfo, "listening; waiting for the llama-server to say what it has",
              {{"host", config.server.host}, {"port", port}});

    Result<LlamaServerStack> stack = open_llama_server_stack(config, *call, stopped);
    std::optional<CollectionService> collections;
    if (stack.ok()) {
        Result<std::unique_ptr<TextEmbedder>> embedder =
            open_chosen_embedder(config.embedding, EmbedderUse::kServe);
        if (!embedder.ok()) return fail(embedder.error());
        collections.emplace(collections_folder(config.cache.directory), *std::move(embedder));
        router.attach_collections(*collections);
        if (stack->local.service) router.attach(*stack->local.service);
        router.attach_proxy(*stack->proxy);
    } else {
        log_event(LogLevel::kWarning,
                  "all prompts are left to the llama-server: " + stack.error().message);
    }
    log_event(LogLevel::kInfo, "ready", {{"host", config.server.host}, {"port", port}});
    stopped.wait();
    stop_server(**server, router, config.server);
    return kExitOk;
}

int serve(const Config& config) {
    start_log(config.log.format, config.log.level);
    if (config.upstream.urls.empty()) return serve_model(config, nullptr);
    const Result<std::unique_ptr<Proxy>> proxy = open_proxy(config.upstream);
    if (!proxy.ok()) return fail(proxy.error());
    if (is_llama_server(config.upstream)) return serve_llama_server(config, **proxy);
    if (config.model.path.empty()) return serve_upstreams(config, **proxy);
    return serve_model(config, proxy->get());
}

}  // namespace

void add_serve(CLI::App& app, Run& run) {
    CLI::App* command = app.add_subcommand("serve", "Serve the OpenAI API over HTTP");
    command->footer(kExamples);
    const auto flags = std::make_shared<ConfigFlags>();
    flags->add_to(*command);
    command->callback([flags, &run] {
        run = [flags] {
            const Result<Config> config = flags->load();
            return config.ok() ? serve(*config) : fail(config.error(), kExitUsage);
        };
    });
}

}  // namespace spolia
