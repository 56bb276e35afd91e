#include "spolia/broker.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <utility>

#include "broker/cache_folder.h"
#include "broker/local_stack.h"
#include "broker/rag/embedder_choice.h"
#include "broker/sdk/local_collection.h"
#include "broker/wire/messages.h"

namespace spolia {
namespace {

Config to_config(const BrokerOptions& options) {
    Config config;
    config.model.path = options.model_path;
    config.model.n_ctx = options.n_ctx;
    config.model.n_sequences = options.n_sequences;
    config.model.n_threads = options.n_threads;
    config.model.n_gpu_layers = options.n_gpu_layers;
    config.cache.directory = options.cache_directory;
    config.cache.ram_bytes_max = options.ram_bytes_max;
    config.embedding.model = options.embedding_model;
    config.embedding.url = options.embedding_url;
    config.embedding.name = options.embedding_name;
    config.embedding.key_env = options.embedding_key_env;
    config.embedding.n_threads = options.embedding_threads;
    config.embedding.n_gpu_layers = options.embedding_gpu_layers;
    config.reuse.fidelity = options.fidelity;
    config.reuse.policy = options.policy;
    config.reuse.recompute_ratio = options.recompute_ratio;
    config.reuse.chunker.tokens_min = options.chunk_tokens_min;
    config.reuse.by_cost = options.reuse_by_cost;
    config.reuse.budget = {options.max_kl, options.min_agreement};
    return config;
}

// Collects an answer for the thread that waits for it.
class AnswerSink final : public GenerateSink {
public:
    AnswerSink(Service& service, const OnText& on_text, std::unique_ptr<OutputParser> parser)
        : service_(service), on_text_(on_text), parser_(std::move(parser)) {}

    // Once submitted; the first text may have come before.
    void started(GenerationId id) {
        id_ = id;
        if (unwanted_) service_.cancel(id);
    }
    Result<Answer> wait() { return promise_.get_future().get(); }

    void on_start(const Receipt&) override {}
    void on_text(std::string text, Token) override { add(text, false); }
    void on_done(const GenerateOutcome& outcome) override {
        add({}, true);
        answer_.finish = outcome.finish;
        answer_.n_tokens = outcome.n_generated;
        answer_.receipt = outcome.receipt;
        promise_.set_value(std::move(answer_));
    }
    void on_error(const Error& error) override { promise_.set_value(error); }

private:
    void add(std::string_view text, bool final) {
        const Result<MessageDelta> delta = parser_->push(text, final);
        const std::string piece = delta.ok() ? delta->content : std::string(text);
        answer_.text += piece;
        if (!on_text_ || piece.empty() || unwanted_ || on_text_(piece)) return;
        unwanted_ = true;
        if (const GenerationId id = id_; id != 0) service_.cancel(id);
    }

    Service& service_;
    const OnText& on_text_;
    std::unique_ptr<OutputParser> parser_;
    std::atomic<GenerationId> id_{0};
    std::atomic<bool> unwanted_{false};
    Answer answer_;
    std::promise<Result<Answer>> promise_;
};

Result<GenerateRequest> to_request(const Prompt& prompt, const TextModel& text,
                                   std::unique_ptr<OutputParser>& parser) {
    ChatRequest chat;
    chat.messages_json = messages_json(prompt.messages);
    Result<RenderedChat> rendered = text.render(chat);
    if (!rendered) return rendered.error();
    Result<TokenizedText> tokens = text.tokenize(rendered->text, true, true);
    if (!tokens) return tokens.error();
    parser = std::move(rendered->parser);

    GenerateRequest request;
    request.id = "sdk";
    request.tenant = prompt.tenant;
    request.prompt = std::move(tokens).value();
    request.spans = std::move(rendered->spans);
    request.grammar = std::move(rendered->grammar);
    request.stops = std::move(rendered->stops);
    request.tokens_max = prompt.tokens_max;
    request.sampling.temperature = static_cast<float>(prompt.temperature);
    request.sampling.seed = prompt.seed;
    request.reuse.fidelity = prompt.fidelity;
    request.reuse.policy = prompt.policy;
    request.reuse.recompute_ratio = prompt.recompute_ratio;
    return request;
}

struct Embedders {
    std::unique_ptr<TextEmbedder> search;
    std::unique_ptr<TextEmbedder> ingest;  // null: the same
};

// A server is asked with more patience for what is ingested than while somebody waits for a search.
// A model has the same threads for both: the engine is beside it.
Result<Embedders> open_embedders(const EmbedderChoice& choice) {
    Embedders embedders;
    auto search = open_embedder(choice, EmbedderUse::kServe);
    if (!search) return search.error();
    embedders.search = *std::move(search);
    if (choice.url.empty()) return embedders;
    auto ingest = open_embedder(choice, EmbedderUse::kIngest);
    if (!ingest) return ingest.error();
    embedders.ingest = *std::move(ingest);
    return embedders;
}

}  // namespace

Status add_context(Prompt& prompt, const std::vector<ScoredChunk>& chunks) {
    const auto last =
        std::ranges::find(prompt.messages.rbegin(), prompt.messages.rend(), "user", &Message::role);
    if (last == prompt.messages.rend()) {
        return invalid("the prompt has no message of a user to put chunks in front of");
    }
    std::vector<std::string> texts;
    for (const ScoredChunk& chunk : chunks) texts.push_back(chunk.text);
    last->parts.insert(last->parts.begin(), texts.begin(), texts.end());
    return {};
}

class Broker::Impl {
public:
    Impl(LocalStack stack, Embedders embedders, const std::filesystem::path& collections)
        : stack_(std::move(stack)),
          embedders_(std::move(embedders)),
          collections_(collections, *embedders_.search) {}
    Service& service() { return *stack_.service; }
    CollectionStore& collections() { return collections_; }
    const TextEmbedder& ingest_embedder() const {
        return embedders_.ingest ? *embedders_.ingest : *embedders_.search;
    }

private:
    LocalStack stack_;
    const Embedders embedders_;
    CollectionStore collections_;
};

Broker::Broker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Broker::~Broker() = default;

Result<std::unique_ptr<Broker>> Broker::open(const BrokerOptions& options) {
    const Config config = to_config(options);
    Result<Embedders> embedders = open_embedders(config.embedding);
    if (!embedders) return embedders.error();
    Result<LocalStack> stack = open_local_stack(config);
    if (!stack) return stack.error();
    return std::unique_ptr<Broker>(new Broker(std::make_unique<Impl>(
        *std::move(stack), *std::move(embedders), collections_folder(options.cache_directory))));
}

Result<int32_t> Broker::add_document(const std::string& text, const std::string& tenant) {
    const auto promise = std::make_shared<std::promise<Result<std::vector<ChunkInfo>>>>();
    std::future<Result<std::vector<ChunkInfo>>> future = promise->get_future();
    impl_->service().put_chunk(tenant, "", text, [promise](Result<std::vector<ChunkInfo>> chunks) {
        promise->set_value(std::move(chunks));
    });
    const Result<std::vector<ChunkInfo>> chunks = future.get();
    if (!chunks.ok()) return chunks.error();
    int32_t n_tokens = 0;
    for (const ChunkInfo& chunk : *chunks) n_tokens += chunk.n_tokens;
    return n_tokens;
}

Result<std::unique_ptr<Collection>> Broker::open_collection(const std::string& name,
                                                            const std::string& tenant) {
    return open_local_collection(impl_->service(), impl_->collections(), impl_->ingest_embedder(),
                                 tenant, name);
}

std::vector<CollectionInfo> Broker::list_collections(const std::string& tenant) {
    return impl_->collections().list(tenant);
}

Status Broker::remove_collection(const std::string& name, const std::string& tenant) {
    return impl_->collections().remove(tenant, name);
}

Result<Answer> Broker::ask(const Prompt& prompt, const OnText& on_text) {
    Service& service = impl_->service();
    std::unique_ptr<OutputParser> parser;
    Result<GenerateRequest> request = to_request(prompt, service.text(), parser);
    if (!request) return request.error();
    const auto sink = std::make_shared<AnswerSink>(service, on_text, std::move(parser));
    const Result<GenerationId> id = service.submit(std::move(request).value(), sink);
    if (!id.ok()) return id.error();
    sink->started(*id);
    return sink->wait();
}

}  // namespace spolia
