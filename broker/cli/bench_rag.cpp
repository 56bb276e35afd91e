#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cli/bench_options.h"
#include "broker/cli/chat_client.h"
#include "broker/cli/commands.h"
#include "broker/cli/llama_server.h"
#include "broker/cli/local_server.h"
#include "broker/cli/own_models.h"
#include "broker/cli/rag_workload.h"
#include "broker/cli/report.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPeer = "llama-server --cache-reuse 64";
// Of each prompt, beside documents and question: the chat template and what is generated.
constexpr int32_t kSlackTokens = 256;

constexpr const char* kAbout =
    R"(Time to first token of a RAG prompt: known documents in a new order with a new question.

Starts a broker in this process and a stock llama-server beside it, both on the same model, and asks
them over HTTP in turn. The documents' KV is computed ahead of time. Every round has an order and a
question of its own. "dense" is the broker with nothing to reuse: llama.cpp's own prefill.

Without --model the timing model is used: Qwen2-0.5B's shape with random weights. At 2 threads the
whole bench takes about 20 minutes; --chunks 8 alone about 5. llama-server is measured at the first
number of --chunks only.)";

struct Options {
    std::string model;
    std::vector<int> chunks = {8, 24};
    int chunk_tokens = 256;
    int question_tokens = 32;
    int rounds = 5;
    int threads = 2;
    int gpu_layers = 0;
    int decode_tokens = 64;
    double ratio = 0.15;
    int head_rows = 16;
    std::string llama_server;
    bool no_peer = false;
    std::string format = "text";
};

// One way of answering, measured round by round.
struct Way {
    std::string policy;    // as in the report
    std::string scenario;  // shuffled | same order
    ChatCall call;         // without documents and question
    bool peer = false;     // by llama-server
    Json params = Json::object();
    Samples ttft;
    ChatMeasure last;
};

class RagBench {
public:
    RagBench(const Options& options, LocalServer& broker, const ServerProcess* peer, int n_chunks);

    // Warm-up and rounds. Progress goes to stderr.
    Status run();
    Json rows() const;
    std::vector<std::vector<std::string>> table() const;
    const Way& way(std::string_view policy, std::string_view scenario) const;

private:
    void add_way(std::string policy, ChatCall call, Json params = Json::object());
    Status prepare();
    Status round(int number);
    Status ask(Way& way, const std::vector<std::string>& documents, const std::string& question,
               bool record);
    Json row(const Way& way) const;
    const HttpClient& client(const Way& way) const { return way.peer ? *peer_ : broker_; }

    const Options& options_;
    int n_chunks_;
    HttpClient broker_;
    std::unique_ptr<HttpClient> peer_;
    RagWorkload workload_;
    std::vector<std::string> documents_;
    std::vector<std::string> last_first_;
    std::vector<Way> ways_;
};

RagBench::RagBench(const Options& options, LocalServer& broker, const ServerProcess* peer,
                   int n_chunks)
    : options_(options),
      n_chunks_(n_chunks),
      broker_("127.0.0.1", broker.port()),
      workload_(broker.service().text(), static_cast<uint32_t>(n_chunks)) {
    if (peer != nullptr) peer_ = std::make_unique<HttpClient>("127.0.0.1", peer->port());
    ChatCall call;
    call.fidelity = "exact";
    add_way("dense", call);
    ways_.push_back(ways_.back());
    ways_.back().policy = "exact";
    ways_.back().scenario = "same order";
    if (peer_) {
        for (const char* scenario : {"shuffled", "same order"}) {
            ways_.push_back({kPeer, scenario, {}, true, Json::object(), {}, {}});
        }
    }
    call.fidelity = "fast";
    call.policy = "none";
    add_way("none", call);
    call.policy = "epic";
    call.head_rows = options.head_rows;
    add_way("epic", call, {{"head_rows", options.head_rows}});
    call.policy = "cacheblend";
    call.head_rows = 0;
    call.recompute_ratio = options.ratio;
    add_way("cacheblend", call, {{"recompute_ratio", options.ratio}});
}

void RagBench::add_way(std::string policy, ChatCall call, Json params) {
    ways_.push_back(
        {std::move(policy), "shuffled", std::move(call), false, std::move(params), {}, {}});
}

const Way& RagBench::way(std::string_view policy, std::string_view scenario) const {
    for (const Way& way : ways_) {
        if (way.policy == policy && way.scenario == scenario) return way;
    }
    return ways_.front();
}

// Makes the documents and has both servers see them.
Status RagBench::prepare() {
    for (int i = 0; i < n_chunks_; ++i) {
        Result<std::string> document = workload_.document(options_.chunk_tokens);
        if (!document) return document.error();
        documents_.push_back(std::move(document).value());
    }
    const Result<HttpReply> reply = broker_.call("PUT", "/v1/chunks", chunks_body(documents_));
    if (!reply.ok()) return reply.error();
    if (reply->status != 200) {
        return Error{ErrorCode::kInternal, "PUT /v1/chunks answered " + reply->body};
    }
    return {};
}

Status RagBench::ask(Way& way, const std::vector<std::string>& documents,
                     const std::string& question, bool record) {
    ChatCall call = way.call;
    call.documents = documents;
    call.question = question;
    const Result<ChatMeasure> measure = chat(client(way), call);
    if (!measure.ok())
        return Error{measure.error().code, way.policy + ": " + measure.error().message};
    if (record) way.ttft.add(measure->ttft_ms);
    way.last = *measure;
    return {};
}

// All ways in turn on one order. "same order" ways follow the dense request that they repeat.
Status RagBench::round(int number) {
    const std::vector<std::string> order = workload_.shuffled(documents_, last_first_);
    last_first_ = {order.front()};
    std::string question;
    for (Way& way : ways_) {
        Result<std::string> text = workload_.document(options_.question_tokens);
        if (!text) return text.error();
        question = std::move(text).value();
        // A salt of its own keeps dense requests from finding anything.
        if (way.policy == "dense" || way.policy == "exact") {
            way.call.cache_salt =
                "bench-" + std::to_string(n_chunks_) + "-" + std::to_string(number);
        }
        if (Status status = ask(way, order, question, number > 0); !status) return status;
    }
    return {};
}

Status RagBench::run() {
    if (Status status = prepare(); !status) return status;
    for (int number = 0; number <= options_.rounds; ++number) {
        std::fprintf(stderr, "\r%d chunks: %s %d/%d ", n_chunks_, number == 0 ? "warm-up" : "round",
                     number, options_.rounds);
        if (Status status = round(number); !status) return status;
    }
    std::fprintf(stderr, "\n");
    return {};
}

Json RagBench::row(const Way& way) const {
    const double dense = this->way("dense", "shuffled").ttft.median();
    Json row = {{"policy", way.policy},       {"scenario", way.scenario},
                {"chunks", n_chunks_},        {"params", way.params},
                {"ttft_ms", way.ttft.json()}, {"vs_dense", dense / way.ttft.median()}};
    if (peer_) {
        row["vs_peer"] = {
            {kPeer, this->way(kPeer, way.scenario).ttft.median() / way.ttft.median()}};
    }
    const ChatMeasure& seen = way.last;
    if (way.peer) {
        row["tokens"] = {{"prompt", seen.n_prompt}, {"cached", seen.n_cached}};
    } else {
        row["tokens"] = {{"prompt", seen.n_prompt},
                         {"exact", seen.n_exact},
                         {"reused", seen.n_shifted},
                         {"recomputed", seen.n_blended},
                         {"computed", seen.n_computed}};
        if (!seen.misses.empty()) row["misses"] = seen.misses;
    }
    return row;
}

Json RagBench::rows() const {
    Json rows = Json::array();
    for (const Way& way : ways_) rows.push_back(row(way));
    return rows;
}

std::vector<std::vector<std::string>> RagBench::table() const {
    std::vector<std::vector<std::string>> table;
    for (const Way& way : ways_) {
        const Json json = row(way);
        const ChatMeasure& seen = way.last;
        table.push_back(
            {std::to_string(n_chunks_) + " x " + std::to_string(options_.chunk_tokens),
             way.scenario, way.policy, short_number(way.ttft.median()) + " ms",
             short_ratio(json["vs_dense"].get<double>()),
             peer_ ? short_ratio(json["vs_peer"][kPeer].get<double>()) : "-",
             std::to_string(way.peer ? seen.n_cached : seen.n_exact),
             std::to_string(seen.n_shifted), std::to_string(seen.n_blended),
             std::to_string(way.peer ? seen.n_prompt - seen.n_cached : seen.n_computed)});
    }
    return table;
}

// Tokens per second behind the first token, in turn on both servers.
Result<Json> measure_decode(const Options& options, LocalServer& broker,
                            const ServerProcess* peer) {
    const HttpClient ours("127.0.0.1", broker.port());
    Samples ours_ms, peer_ms;
    RagWorkload workload(broker.service().text(), 7);
    for (int number = 0; number <= options.rounds; ++number) {
        ChatCall call;
        Result<std::string> question = workload.document(64);
        if (!question) return question.error();
        call.question = std::move(question).value();
        call.tokens_max = options.decode_tokens;
        const auto once = [&](const HttpClient& client, Samples& samples) -> Status {
            const Result<ChatMeasure> measure = chat(client, call);
            if (!measure.ok()) return measure.error();
            if (number > 0) samples.add(measure->decode_ms_per_token());
            return {};
        };
        if (Status status = once(ours, ours_ms); !status) return status.error();
        if (peer == nullptr) continue;
        const HttpClient theirs("127.0.0.1", peer->port());
        if (Status status = once(theirs, peer_ms); !status) return status.error();
    }
    Json json = {{"tokens", options.decode_tokens}, {"ms_per_token", ours_ms.json()}};
    if (peer != nullptr) {
        json["peer_ms_per_token"] = peer_ms.json();
        json["vs_peer"] = {{kPeer, peer_ms.median() / ours_ms.median()}};
    }
    return json;
}

Config broker_config(const Options& options, const std::filesystem::path& model) {
    Config config;
    config.model.path = model;
    config.model.n_threads = options.threads;
    config.model.n_gpu_layers = options.gpu_layers;
    config.model.n_sequences = 2;
    const int most = *std::ranges::max_element(options.chunks);
    config.model.n_ctx = most * options.chunk_tokens + options.question_tokens + kSlackTokens +
                         options.decode_tokens;
    // Nothing runs between requests that would disturb the one measured next.
    config.reuse.fidelity = Fidelity::kExact;
    config.reuse.encode_seen = false;
    config.reuse.capture_pages = false;
    return config;
}

int bench_rag(const Options& options) {
    Result<std::filesystem::path> model =
        options.model.empty() ? timing_model() : Result<std::filesystem::path>(options.model);
    if (!model) return fail_command("bench rag", model.error());
    const Config config = broker_config(options, *model);
    Result<std::unique_ptr<LocalServer>> broker = LocalServer::start(config);
    if (!broker) return fail_command("bench rag", broker.error());
    std::unique_ptr<ServerProcess> peer;
    if (!options.no_peer) {
        Result<std::unique_ptr<ServerProcess>> started =
            start_llama_server({options.llama_server, *model, config.model.n_ctx, options.threads});
        if (!started) return fail_command("bench rag", started.error());
        peer = std::move(started).value();
    }

    const Service& service = (*broker)->service();
    Json report = report_head("rag", service.model(), options.threads);
    report["setup"] = {{"chunk_tokens", options.chunk_tokens},
                       {"question_tokens", options.question_tokens},
                       {"rounds", options.rounds},
                       {"support", to_string(service.model().support)}};
    report["rows"] = Json::array();
    std::vector<std::vector<std::string>> table = {{"chunks", "order", "policy", "first token",
                                                    "vs dense", "vs llama-server", "exact",
                                                    "reused", "recomputed", "computed"}};
    for (const int n_chunks : options.chunks) {
        const bool with_peer = n_chunks == options.chunks.front();
        RagBench bench(options, **broker, with_peer ? peer.get() : nullptr, n_chunks);
        if (Status status = bench.run(); !status) return fail_command("bench rag", status.error());
        for (const Json& row : bench.rows()) report["rows"].push_back(row);
        for (auto& row : bench.table()) table.push_back(std::move(row));
    }
    Result<Json> decode = measure_decode(options, **broker, peer.get());
    if (!decode) return fail_command("bench rag", decode.error());
    report["decode"] = *decode;
    const EngineMemory memory = service.stats().memory;
    report["memory_bytes"] = {{"model", service.model().bytes},
                              {"kv_cache", memory.kv_cache_bytes},
                              {"staging", memory.staging_bytes},
                              {"compute", memory.compute_bytes},
                              {"ram_tier", service.stats().blocks.ram_bytes}};
    report["peers"] = Json::array();
    if (peer) report["peers"].push_back({{"name", kPeer}, {"command", peer->command()}});

    if (options.format == "json") {
        std::printf("%s\n", report.dump(2).c_str());
        return kExitOk;
    }
    std::printf("model %s%s\n\n%s\n", service.model().name.c_str(),
                service.model().random_weights ? " (random weights)" : "",
                format_table(table).c_str());
    std::printf("decode: %s ms a token", short_number((*decode)["ms_per_token"]["median"]).c_str());
    if (peer)
        std::printf(", %s of llama-server's speed",
                    short_ratio((*decode)["vs_peer"][kPeer]).c_str());
    std::printf("\n");
    return kExitOk;
}

}  // namespace

void add_bench_rag(CLI::App& bench, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = bench.add_subcommand("rag", "Known documents in a new order: first token");
    command->footer(kAbout);
    command->add_option("--model", options->model, "GGUF file; default: the timing model");
    command
        ->add_option("--chunks", options->chunks, "documents in a prompt; several are run in turn")
        ->delimiter(',')
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    command->add_option("--chunk-tokens", options->chunk_tokens)
        ->check(CLI::Range(32, 8192))
        ->capture_default_str();
    command->add_option("--question-tokens", options->question_tokens)
        ->check(CLI::Range(1, 8192))
        ->capture_default_str();
    command->add_option("--rounds", options->rounds, "measured rounds, behind one warm-up")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    add_engine_options(*command, options->threads, options->gpu_layers);
    command->add_option("--decode-tokens", options->decode_tokens)
        ->check(CLI::Range(2, 4096))
        ->capture_default_str();
    command->add_option("--recompute-ratio", options->ratio, "policy cacheblend")
        ->check(CLI::Range(0.001, 1.0))
        ->capture_default_str();
    command->add_option("--head-rows", options->head_rows, "policy epic")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    command->add_option("--llama-server", options->llama_server,
                        "the peer's binary [SPOLIA_LLAMA_SERVER]");
    command->add_flag("--no-peer", options->no_peer, "measure the broker only");
    command->add_option("--format", options->format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->callback([options, &run] { run = [options] { return bench_rag(*options); }; });
}

}  // namespace spolia
