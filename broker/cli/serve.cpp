#include <semaphore.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

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
#include "index/thread_annotations.h"

namespace spolia {
namespace {

constexpr const char* kExamples = R"(Without a model it serves the sample model, which answers
questions about the notes of `spolia tasks` and nothing else; give it --chunk-min 16.
With --upstream and no model, a single llama-server's own GGUF file is loaded, to compose prompts
for its slots (never with --upstream-kind openai); in front of other servers nothing is loaded.
Flags win over the environment, and that over the file, where the key in brackets is meant. Only
from the environment or the file: SPOLIA_UPSTREAM_KEY, SPOLIA_UPSTREAM_SALT_SECRET.

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

// What a signal does. The thread that waits for signals ends with the process only, and may outlive
// the call that starts it.
class StopRequest {
public:
    static StopRequest& watch() {
        static StopRequest stop;
        StopSignals::take();
        // Clients that went away and files that may not grow are errors of their writes.
        std::signal(SIGPIPE, SIG_IGN);
        std::signal(SIGXFSZ, SIG_IGN);
        std::thread([] { stop.run(); }).detach();
        return stop;
    }

    // Loading a model can't be stopped: until then the first signal does this on a thread of its
    // own, and ends the process.
    void while_loading(std::function<int()> finish) EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        finish_loading_ = std::move(finish);
    }
    // From here on somebody waits. Does not return where a signal was there before.
    void loaded() EXCLUDES(mutex_) {
        const MutexLock lock(mutex_);
        while (signalled_) never_.wait(mutex_);
        finish_loading_ = nullptr;
    }
    void wait() { stopped_.get_future().wait(); }

private:
    // A second signal means at once.
    void run() EXCLUDES(mutex_) {
        StopSignals::wait();
        {
            const MutexLock lock(mutex_);
            if (finish_loading_ != nullptr) {
                signalled_ = true;
                std::thread([finish = finish_loading_] { std::_Exit(finish()); }).detach();
            } else {
                stopped_.set_value();
            }
        }
        StopSignals::wait();
        std::_Exit(kExitFailure);
    }

    std::promise<void> stopped_;
    Mutex mutex_;
    CondVar never_;
    bool signalled_ GUARDED_BY(mutex_) = false;
    // There is nothing to finish before there is a server.
    std::function<int()> finish_loading_ GUARDED_BY(mutex_) = [] { return kExitFailure; };
};

void stop_server(HttpServer& server, Router& router, const ServerConfig& config) {
    log_event(LogLevel::kInfo, "stopping", {{"grace_ms", int64_t{config.stop_grace_ms}}});
    server.stop();
    router.detach();
}

// Connections take most of a process's files.
void raise_file_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// What is behind the open port, once it is there. Members end before those that they use.
struct Backend {
    LocalStack local;
    std::unique_ptr<LlamaServerProxy> proxy;
    std::optional<CollectionService> collections;
};

Status add_collections(const Config& config, Router& router, Backend& backend) {
    Result<std::unique_ptr<TextEmbedder>> embedder =
        open_chosen_embedder(config.embedding, EmbedderUse::kServe);
    if (!embedder.ok()) return embedder.error();
    backend.collections.emplace(collections_folder(config.cache.directory), *std::move(embedder));
    router.attach_collections(*backend.collections);
    return {};
}

Status load_model(const Config& config, Router& router, Backend& backend) {
    Result<LocalStack> stack = open_local_stack(config);
    if (!stack.ok()) return stack.error();
    backend.local = *std::move(stack);
    if (Status added = add_collections(config, router, backend); !added) return added;
    router.attach(*backend.local.service);
    return {};
}

// Once the llama-server has said which model it has, this is loaded, and prompts are put into its
// slots. Until then, and where that can't be, its requests just pass.
Status load_llama_server(const Config& config, const ServerCall& call, const ServerProps& props,
                         Router& router, Backend& backend) {
    Result<LlamaServerStack> stack = open_llama_server_stack(config, call, props);
    if (!stack.ok()) return stack.error();
    backend.local = std::move(stack->local);
    backend.proxy = std::move(stack->proxy);
    if (Status added = add_collections(config, router, backend); !added) return added;
    if (backend.local.service) router.attach(*backend.local.service);
    router.attach_proxy(*backend.proxy);
    return {};
}

Status load_behind(const Config& config, const std::optional<ServerCall>& call, Router& router,
                   Backend& backend) {
    if (call) {
        const Result<ServerProps> props = await_props(*call);
        if (props) return load_llama_server(config, *call, *props, router, backend);
        // One that is none may say so in any way; one that has a key says 401.
        const bool sure = config.upstream.kind == UpstreamKind::kLlamaServer;
        log_event(sure ? LogLevel::kWarning : LogLevel::kInfo,
                  "all prompts are left to the upstream: " + props.error().message);
        if (sure) return {};
    }
    const bool forwards_only = !config.upstream.urls.empty() && config.model.path.empty();
    return forwards_only ? Status() : load_model(config, router, backend);
}

// Loading goes on behind the open port; what can be told at once is told before.
Status check_files(const Config& config) {
    for (const std::filesystem::path& file : {config.model.path, config.embedding.model}) {
        if (file.empty()) continue;
        if (Status whole = LlamaModel::check_file(file.string()); !whole) return whole;
    }
    return {};
}

// `proxy`: nothing where no upstream is configured.
int serve(const Config& config, Proxy* proxy, const std::optional<ServerCall>& call,
          std::stop_source& calls) {
    if (Status whole = check_files(config); !whole) return fail(whole.error());
    StopRequest& stop = StopRequest::watch();
    Router router(config);
    if (proxy != nullptr) router.attach_proxy(*proxy);
    Result<std::unique_ptr<HttpServer>> server = HttpServer::start(config.server, router);
    if (!server.ok()) return fail(server.error());
    const int64_t port = (*server)->port();
    // Others answer already: what they are asked is to be finished.
    if (proxy != nullptr) {
        stop.while_loading([&] {
            stop_server(**server, router, config.server);
            return kExitOk;
        });
    }
    log_event(LogLevel::kInfo, "listening", {{"host", config.server.host}, {"port", port}});

    Backend backend;
    const Status loaded = load_behind(config, call, router, backend);
    stop.loaded();
    if (!loaded) {
        calls.request_stop();
        server->reset();
        return fail(loaded.error());
    }
    log_event(LogLevel::kInfo, "ready",
              {{"model", backend.local.service ? backend.local.service->model().name : ""},
               {"upstreams", static_cast<int64_t>(config.upstream.urls.size())},
               {"host", config.server.host},
               {"port", port}});
    stop.wait();
    stop_server(**server, router, config.server);
    calls.request_stop();
    return kExitOk;
}

int serve(Config config) {
    start_log(config.log.format, config.log.level);
    raise_file_limit();
    std::stop_source calls;  // ends those that wait for an upstream's answer
    std::unique_ptr<Proxy> proxy;
    std::optional<ServerCall> call;
    if (config.upstream.urls.empty()) {
        const Result<std::filesystem::path> model = model_or_sample(config.model.path);
        if (!model.ok()) return fail(model.error());
        config.model.path = *model;
    } else {
        Result<std::unique_ptr<Proxy>> opened = open_proxy(config.upstream);
        if (!opened.ok()) return fail(opened.error());
        proxy = *std::move(opened);
        if (may_be_llama_server(config.upstream)) {
            Result<ServerCall> opened_call = open_server_call(config.upstream, calls.get_token());
            if (!opened_call.ok()) return fail(opened_call.error());
            call = *std::move(opened_call);
        }
    }
    return serve(config, proxy.get(), call, calls);
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
