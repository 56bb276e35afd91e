#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "broker/cli/chat_client.h"
#include "broker/cli/commands.h"
#include "broker/cli/llama_server.h"
#include "broker/cli/local_server.h"
#include "broker/cli/own_models.h"
#include "broker/cli/report.h"
#include "broker/cli/sample_answers.h"

namespace spolia {
namespace {

constexpr const char* kAbout =
    R"(A RAG session in a few minutes: takes documents from --corpus, starts a
broker and asks over HTTP, cold, in the same order, and in a new order with each policy; then asks a
stock llama-server --cache-reuse 64 the same. Without --model the timing model is used: its weights
are random, so times mean something and its words do not. What reuse does to answers is shown by the
sample model, on a few generated questions.)";

struct Options {
    std::string model;
    std::string corpus = ".";
    int documents = 8;
    int document_tokens = 256;
    int threads = 2;
    bool no_peer = false;
};

// Passages of the corpus' Markdown files, each cut to a number of tokens.
std::vector<std::string> read_corpus(const Options& options, const TextModel& text) {
    std::vector<std::filesystem::path> files;
    std::error_code error;
    for (auto it = std::filesystem::recursive_directory_iterator(options.corpus, error);
         !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (it->is_directory() && (name.starts_with(".") || name.starts_with("build"))) {
            it.disable_recursion_pending();
        } else if (it->path().extension() == ".md") {
            files.push_back(it->path());
        }
    }
    std::ranges::sort(files);
    std::vector<std::string> passages;
    const size_t wanted = static_cast<size_t>(options.document_tokens);
    for (const std::filesystem::path& file : files) {
        std::ifstream stream(file, std::ios::binary);
        const std::string all((std::istreambuf_iterator<char>(stream)), {});
        const Result<TokenizedText> tokens = text.tokenize(all, false, false);
        if (!tokens.ok() || !tokens->has_offsets()) continue;
        for (size_t at = 0; at + wanted <= tokens->tokens.size(); at += wanted) {
            const uint32_t begin = tokens->byte_begin[at], end = tokens->byte_begin[at + wanted];
            passages.push_back(all.substr(begin, end - begin));
            if (passages.size() == static_cast<size_t>(options.documents)) return passages;
        }
    }
    return passages;
}

struct Step {
    const char* name;
    bool reversed;
    const char* fidelity;
    const char* policy;
    bool peer = false;
};

constexpr Step kSteps[] = {
    {"cold", false, "exact", ""},
    {"same order, new question", false, "exact", ""},
    {"new order: epic", true, "fast", "epic"},
    {"new order: cacheblend", true, "fast", "cacheblend"},
    {"new order: none", true, "fast", "none"},
    {"new order: dense", true, "exact", ""},
    {"llama-server: cold", false, "", "", true},
    {"llama-server: same order", false, "", "", true},
    {"llama-server: new order", true, "", "", true},
};

Result<ChatMeasure> ask(const Step& step, size_t number, std::vector<std::string> documents,
                        const HttpClient& client,
                        const std::function<void(std::string_view)>& show) {
    if (step.reversed) std::ranges::reverse(documents);
    ChatCall call;
    call.documents = std::move(documents);
    call.question = "Question " + std::to_string(number) + ": what do these documents say?";
    call.fidelity = step.fidelity;
    call.policy = step.policy;
    call.tokens_max = show ? 48 : 1;
    return chat(client, call, show);
}

// Registers the documents, so that their KV is there before they are asked for in another order.
Status put_documents(const HttpClient& client, const std::vector<std::string>& documents) {
    const Result<HttpReply> reply = client.call("PUT", "/v1/chunks", chunks_body(documents));
    if (!reply.ok()) return reply.error();
    if (reply->status == 200) return {};
    return Error{ErrorCode::kInternal, "PUT /v1/chunks answered " + reply->body};
}

std::vector<std::string> table_row(const Step& step, const ChatMeasure& seen, double dense_ms) {
    return {step.name,
            short_number(seen.ttft_ms) + " ms",
            short_ratio(dense_ms / seen.ttft_ms),
            std::to_string(step.peer ? seen.n_cached : seen.n_exact),
            step.peer ? "-" : std::to_string(seen.n_shifted),
            step.peer ? "-" : std::to_string(seen.n_blended),
            std::to_string(step.peer ? seen.n_prompt - seen.n_cached : seen.n_computed)};
}

Status run_steps(const Options& options, LocalServer& broker, const ServerProcess* peer) {
    const std::vector<std::string> documents = read_corpus(options, broker.service().text());
    if (documents.size() < 2) {
        return Error{ErrorCode::kInvalidArgument,
                     "--corpus " + options.corpus + " has too little Markdown for two documents"};
    }
    std::printf("%zu documents of %d tokens; first token of each answer:\n\n", documents.size(),
                options.document_tokens);
    const HttpClient ours("127.0.0.1", broker.port());
    std::vector<std::vector<std::string>> table = {
        {"request", "first token", "vs cold", "exact", "reused", "recomputed", "computed"}};
    double cold_ms = 0;
    size_t number = 0;
    for (const Step& step : kSteps) {
        if (step.peer && peer == nullptr) continue;
        if (number == 2) {
            if (Status status = put_documents(ours, documents); !status) return status;
        }
        std::fprintf(stderr, "%s ...\n", step.name);
        const HttpClient client("127.0.0.1", step.peer ? peer->port() : broker.port());
        const Result<ChatMeasure> seen = ask(step, number++, documents, client, {});
        if (!seen.ok()) return seen.error();
        if (cold_ms == 0) cold_ms = seen->ttft_ms;
        table.push_back(table_row(step, *seen, cold_ms));
    }
    std::printf(
        "%s\nOne answer, streamed (%s):\n", format_table(table).c_str(),
        broker.service().model().random_weights ? "random weights, random words" : "greedy");
    const Result<ChatMeasure> streamed =
        ask(kSteps[3], number, documents, ours, [](std::string_view text) {
            std::fwrite(text.data(), 1, text.size(), stdout);
            std::fflush(stdout);
        });
    std::printf("\n");
    return streamed.ok() ? Status() : Status(streamed.error());
}

int demo(const Options& options) {
    const auto fail = [](const Error& error) {
        std::fprintf(stderr, "spolia demo: %s\n", error.message.c_str());
        return kExitFailure;
    };
    Result<std::filesystem::path> model =
        options.model.empty() ? timing_model() : Result<std::filesystem::path>(options.model);
    if (!model) return fail(model.error());
    Config config;
    config.model.path = *model;
    config.model.n_threads = options.threads;
    config.model.n_sequences = 2;
    config.model.n_ctx = options.documents * options.document_tokens + 512;
    config.reuse.encode_seen = false;
    std::fprintf(stderr, "loading %s ...\n", model->c_str());
    const Result<std::unique_ptr<LocalServer>> broker = LocalServer::start(config);
    if (!broker) return fail(broker.error());
    std::unique_ptr<ServerProcess> peer;
    if (!options.no_peer) {
        Result<std::unique_ptr<ServerProcess>> started =
            start_llama_server({{}, *model, config.model.n_ctx, options.threads});
        if (started) {
            peer = std::move(started).value();
        } else {
            std::fprintf(stderr, "without llama-server: %s\n", started.error().message.c_str());
        }
    }
    if (Status status = run_steps(options, **broker, peer.get()); !status) {
        return fail(status.error());
    }
    if (Status status = print_sample_answers(options.threads); !status) {
        std::fprintf(stderr, "without the sample model: %s\n", status.error().message.c_str());
    }
    return kExitOk;
}

}  // namespace

void add_demo(CLI::App& app, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("demo", "A RAG session with and without reuse, timed");
    command->footer(kAbout);
    command->add_option("--model", options->model, "GGUF file; default: the timing model");
    command->add_option("--corpus", options->corpus, "folder with Markdown files")
        ->capture_default_str();
    command->add_option("--documents", options->documents)
        ->check(CLI::Range(2, 256))
        ->capture_default_str();
    command->add_option("--document-tokens", options->document_tokens)
        ->check(CLI::Range(32, 8192))
        ->capture_default_str();
    command->add_option("--threads", options->threads)
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    command->add_flag("--no-peer", options->no_peer, "without llama-server");
    command->callback([options, &run] { run = [options] { return demo(*options); }; });
}

}  // namespace spolia
