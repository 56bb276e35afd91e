#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "broker/cli/bench_proxy.h"
#include "broker/cli/chat_client.h"
#include "broker/cli/llama_server.h"
#include "broker/cli/open_model.h"
#include "broker/cli/own_models.h"
#include "broker/cli/proxy_servers.h"
#include "broker/cli/rag_workload.h"
#include "broker/cli/report.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPeer = "llama-server --cache-reuse 64";
// Of each prompt, beside documents and question: the chat template and what is generated.
constexpr int32_t kSlackTokens = 256;
constexpr std::chrono::seconds kSlotsTimeout{60};

// One way of answering, measured round by round.
struct Way {
    std::string policy;
    const ServerProcess* server;
    ChatCall call;  // without documents and question
    Json params = Json::object();
    Samples ttft_ms;
    ChatMeasure last;
};

// Two llama-servers, one behind spolia and one alone.
struct Servers {
    std::unique_ptr<TemporaryFolder> slots;
    std::unique_ptr<ServerProcess> upstream, alone, spolia;
};

Result<Servers> start_servers(const ProxyBenchOptions& options,
                              const std::filesystem::path& model) {
    Servers servers;
    const std::filesystem::path shared = "/dev/shm";
    Result<std::unique_ptr<TemporaryFolder>> slots = TemporaryFolder::make(
        std::filesystem::is_directory(shared) ? shared : std::filesystem::temp_directory_path());
    if (!slots) return slots.error();
    servers.slots = std::move(slots).value();
    LlamaServerOptions stock;
    stock.binary = options.llama_server;
    stock.model = model;
    stock.n_threads = options.threads;
    stock.n_ctx = options.chunks * options.chunk_tokens + options.question_tokens + kSlackTokens;
    Result<std::unique_ptr<ServerProcess>> alone = start_llama_server(stock);
    if (!alone) return alone.error();
    servers.alone = std::move(alone).value();
    stock.cache_reuse = 0;
    stock.slot_folder = servers.slots->path();
    Result<std::unique_ptr<ServerProcess>> upstream = start_llama_server(stock);
    if (!upstream) return upstream.error();
    servers.upstream = std::move(upstream).value();
    // Nothing runs between requests that would disturb the one measured next.
    Result<std::unique_ptr<ServerProcess>> spolia = start_spolia_proxy(
        servers.upstream->port(), "llama-server",
        {"--slot-dir", servers.slots->path().string(), "--model", model.string(), "--ctx-size",
         std::to_string(stock.n_ctx), "--threads", std::to_string(options.threads), "--parallel",
         "1", "--encode-seen", "false", "--capture-pages", "false"});
    if (!spolia) return spolia.error();
    servers.spolia = std::move(spolia).value();
    return servers;
}

std::vector<Way> ways_of(const ProxyBenchOptions& options, const Servers& servers) {
    std::vector<Way> ways(3);
    ways[0].policy = kPeer;
    ways[0].server = servers.alone.get();
    for (Way* way : {&ways[1], &ways[2]}) {
        way->server = servers.spolia.get();
        way->call.fidelity = "fast";
    }
    ways[1].policy = ways[1].call.policy = "none";
    ways[2].policy = ways[2].call.policy = "cacheblend";
    ways[2].call.recompute_ratio = options.ratio;
    ways[2].params = {{"recompute_ratio", options.ratio}};
    return ways;
}

// Spolia forwards from the start, and knows chunks (404 before) once its model is loaded and the
// upstream's slots are looked at.
Status put_chunks(const HttpClient& client, const std::vector<std::string>& documents) {
    const auto deadline = std::chrono::steady_clock::now() + kSlotsTimeout;
    for (;;) {
        const Result<HttpReply> reply = client.call("PUT", "/v1/chunks", chunks_body(documents));
        if (!reply.ok()) return reply.error();
        if (reply->status == 200) return {};
        if (reply->status != 404 || std::chrono::steady_clock::now() > deadline) {
            return Error{ErrorCode::kInternal, "PUT /v1/chunks answered " + reply->body};
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

class TtftRounds {
public:
    TtftRounds(const ProxyBenchOptions& options, const TextModel& text, std::vector<Way>& ways)
        : options_(options), workload_(text, 11), ways_(ways) {}

    // Makes the documents and puts them.
    Status prepare(const ServerProcess& spolia);
    // All ways in turn on one order, each with a question of its own.
    Status round(int number);

private:
    const ProxyBenchOptions& options_;
    RagWorkload workload_;
    std::vector<Way>& ways_;
    std::vector<std::string> documents_, last_first_;
};

Status TtftRounds::prepare(const ServerProcess& spolia) {
    for (int i = 0; i < options_.chunks; ++i) {
        Result<std::string> document = workload_.document(options_.chunk_tokens);
        if (!document) return document.error();
        documents_.push_back(std::move(document).value());
    }
    return put_chunks(HttpClient("127.0.0.1", spolia.port()), documents_);
}

Status TtftRounds::round(int number) {
    const std::vector<std::string> order = workload_.shuffled(documents_, last_first_);
    last_first_ = {order.front()};
    for (Way& way : ways_) {
        std::fprintf(stderr, "\rfirst token: round %d/%d, %-30s", number, options_.rounds,
                     way.policy.c_str());
        Result<std::string> question = workload_.document(options_.question_tokens);
        if (!question) return question.error();
        ChatCall call = way.call;
        call.documents = order;
        call.question = std::move(question).value();
        const Result<ChatMeasure> seen = chat(HttpClient("127.0.0.1", way.server->port()), call);
        if (!seen.ok()) return Error{seen.error().code, way.policy + ": " + seen.error().message};
        if (number > 0) way.ttft_ms.add(seen->ttft_ms);
        way.last = *seen;
    }
    return {};
}

void add_rows(const std::vector<Way>& ways, ProxyReport& report) {
    std::vector<std::vector<std::string>> table = {
        {"shuffled documents", "first token", "vs llama-server", "prompt", "cached"}};
    for (const Way& way : ways) {
        const double ratio = ways[0].ttft_ms.median() / way.ttft_ms.median();
        const ChatMeasure& seen = way.last;
        Json tokens = {{"prompt", seen.n_prompt}, {"cached", seen.n_cached}};
        if (way.server != ways[0].server) {
            tokens["exact"] = seen.n_exact;
            tokens["reused"] = seen.n_shifted;
            tokens["recomputed"] = seen.n_blended;
            tokens["computed"] = seen.n_computed;
        }
        report.rows.push_back({{"part", "ttft"},
                               {"policy", way.policy},
                               {"params", way.params},
                               {"ttft_ms", way.ttft_ms.json()},
                               {"vs_peer", {{kPeer, ratio}}},
                               {"tokens", tokens}});
        table.push_back({way.policy, short_number(way.ttft_ms.median()) + " ms", short_ratio(ratio),
                         std::to_string(seen.n_prompt), std::to_string(seen.n_cached)});
    }
    report.text += format_table(table) + "\n";
}

}  // namespace

Status bench_proxy_ttft(const ProxyBenchOptions& options, ProxyReport& report) {
    const Result<std::filesystem::path> model =
        options.model.empty() ? timing_model() : Result<std::filesystem::path>(options.model);
    if (!model.ok()) return model.error();
    OpenModel opened;
    if (Status status = opened.open(*model, 0); !status) return status;
    const Result<Servers> servers = start_servers(options, *model);
    if (!servers.ok()) return servers.error();
    std::vector<Way> ways = ways_of(options, *servers);
    TtftRounds rounds(options, *opened.text, ways);
    if (Status status = rounds.prepare(*servers->spolia); !status) return status;
    for (int number = 0; number <= options.rounds; ++number) {
        if (Status status = rounds.round(number); !status) return status;
    }
    std::fprintf(stderr, "\n");
    add_rows(ways, report);
    report.add_peer(kPeer, servers->alone->command());
    report.add_peer("llama-server", servers->upstream->command());
    return {};
}

}  // namespace spolia
