#include "broker/cli/bench_proxy.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>

#include "broker/cli/bench_options.h"
#include "broker/cli/commands.h"
#include "broker/cli/proxy_stub.h"
#include "broker/cli/report.h"
#include "broker/cli/two_part_bench.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout =
    R"(What it costs to stand in front of other servers, and what it gives.

  overhead  requests a second (wrk), and latency at a fixed rate, of a stub of ours asked directly,
            through nginx, and through spolia
  streams   memory of many concurrent event streams, and how late events come of a few
  ttft      first token of known documents in a new order: a stock llama-server behind spolia, and
            alone with --cache-reuse 64 (timing model)

Latency counts from the moment a request was to be sent, whatever became of those before it. What is
compared is measured in turn within each round; figures are medians of the rounds' figures. nginx
and spolia get the same number of threads, and share the machine with stub and clients. Where nginx,
wrk or llama-server are not installed, what needs them is skipped and named.)";

using Part = Status (*)(const ProxyBenchOptions&, ProxyReport&);
constexpr std::pair<const char*, Part> kParts[] = {{"overhead", bench_proxy_overhead},
                                                   {"streams", bench_proxy_streams},
                                                   {"ttft", bench_proxy_ttft}};

Json setup_of(const ProxyBenchOptions& options) {
    return {{"rounds", options.rounds},
            {"seconds", options.seconds},
            {"proxy_threads", options.proxy_threads},
            {"requests_per_s", options.rate},
            {"connections", options.connections},
            {"request_bytes", options.request_bytes},
            {"chunks", options.chunks},
            {"chunk_tokens", options.chunk_tokens},
            {"question_tokens", options.question_tokens}};
}

int bench_proxy(const ProxyBenchOptions& options, const std::string& format) {
    ProxyReport parts;
    for (const auto& [name, run] : kParts) {
        if (std::ranges::find(options.parts, name) == options.parts.end()) continue;
        const Status status = run(options, parts);
        if (!status.ok() && status.error().code == ErrorCode::kNotFound) {
            parts.skip(name, status.error());
        } else if (!status.ok()) {
            return fail_command("bench proxy", status.error());
        }
    }
    if (format == "text") {
        std::printf("%s", parts.text.c_str());
        return kExitOk;
    }
    Json report = report_head("proxy", options.threads);
    report["setup"] = setup_of(options);
    report["rows"] = std::move(parts.rows);
    report["peers"] = std::move(parts.peers);
    report["skipped"] = std::move(parts.skipped);
    std::printf("%s\n", report.dump(2).c_str());
    return kExitOk;
}

void add_options(CLI::App& command, ProxyBenchOptions& options) {
    command.add_option("--part", options.parts, "what is measured; several are run in turn")
        ->delimiter(',')
        ->check(CLI::IsMember({"overhead", "streams", "ttft"}))
        ->capture_default_str();
    add_number(command, "--rounds", options.rounds, 1, 1000, "measured rounds");
    add_number(command, "--seconds", options.seconds, 1, 600, "of each measurement in a round");
    add_number(command, "--proxy-threads", options.proxy_threads, 1, 256,
               "of spolia's HTTP side, and nginx's workers");
    command.add_option("--nginx", options.nginx, "its program")->capture_default_str();
    command.add_option("--wrk", options.wrk, "its program")->capture_default_str();
    add_number(command, "--rate", options.rate, 1, 1'000'000, "overhead: requests a second");
    add_number(command, "--connections", options.connections, 1, 4096, "overhead: clients'");
    add_number(command, "--request-bytes", options.request_bytes, 100, 1 << 16,
               "overhead: of a request's body");
    add_number(command, "--streams", options.streams, 1, 8000, "streams: at once, for memory");
    add_number(command, "--few-streams", options.few_streams, 1, 8000, "streams: for lateness");
    add_number(command, "--events", options.events_per_s, 1, 10'000,
               "streams: events a second of each, for lateness");
    command.add_option("--model", options.model, "ttft: GGUF file; default: the timing model");
    command.add_option("--llama-server", options.llama_server,
                       "ttft: its program [SPOLIA_LLAMA_SERVER]");
    add_number(command, "--chunks", options.chunks, 1, 1024, "ttft: documents in a prompt");
    add_number(command, "--chunk-tokens", options.chunk_tokens, 32, 8192, "ttft: of a document");
    add_number(command, "--question-tokens", options.question_tokens, 1, 8192, "ttft");
    command.add_option("--recompute-ratio", options.ratio, "ttft: policy cacheblend")
        ->check(CLI::Range(0.001, 1.0))
        ->capture_default_str();
    add_number(command, "--threads", options.threads, 1, 1024, "ttft: of each engine");
}

// What `bench proxy` starts a child process of itself for.
void add_stub(CLI::App& bench, Run& run) {
    CLI::App* command = bench.add_subcommand("proxy-stub")->group("");
    const auto port = std::make_shared<int>(0);
    command->add_option("--port", *port)->required()->check(CLI::Range(1, 65535));
    command->callback([port, &run] {
        run = [port] {
            const Status status = run_proxy_stub(static_cast<uint16_t>(*port));
            return status.ok() ? kExitOk : fail_command("bench proxy-stub", status.error());
        };
    });
}

}  // namespace

ProxyBenchOptions::ProxyBenchOptions()
    : proxy_threads(static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))),
      threads(proxy_threads) {}

void ProxyReport::add_peer(const std::string& name, const std::string& command,
                           const std::string& version) {
    for (const Json& peer : peers) {
        if (peer["name"] == name) return;
    }
    Json peer = {{"name", name}, {"command", command}};
    if (!version.empty()) peer["version"] = version;
    peers.push_back(std::move(peer));
}

void ProxyReport::skip(const std::string& part, const Error& why) {
    std::fprintf(stderr, "spolia bench proxy: part %s, skipped: %s\n", part.c_str(),
                 why.message.c_str());
    skipped.push_back({{"part", part}, {"reason", why.message}});
}

void add_bench_proxy(CLI::App& bench, Run& run) {
    CLI::App* command = bench.add_subcommand("proxy", "In front of other servers: cost and gain");
    command->footer(kAbout);
    const auto options = std::make_shared<ProxyBenchOptions>();
    const auto format = std::make_shared<std::string>("text");
    add_options(*command, *options);
    command->add_option("--format", *format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->callback([options, format, &run] {
        run = [options, format] { return bench_proxy(*options, *format); };
    });
    add_stub(bench, run);
}

}  // namespace spolia
