#include "adapters/llama/embedding_model.h"
#include "broker/rag/http_embedder.h"
#include "index/hashed_embedder.h"
#include "tests/contract/embedder_contract.h"
#include "tests/support/embedding_server.h"
#include "tests/support/tiny_bert.h"
#include "tests/support/tiny_models.h"
#include "tests/support/word_embedder.h"

namespace spolia::testing {
namespace {

std::unique_ptr<TextEmbedder> opened(Result<std::unique_ptr<TextEmbedder>> embedder) {
    EXPECT_TRUE(embedder.ok()) << embedder.error().message;
    return embedder.ok() ? *std::move(embedder) : nullptr;
}

std::unique_ptr<TextEmbedder> open_model(const std::string& path) {
    // A small window, so that batches and texts go beyond it.
    return opened(open_embedding_model(path, {.n_threads = 1, .n_window_tokens = 48}));
}

std::unique_ptr<TextEmbedder> open_causal(uint64_t seed) {
    RandomModelShape shape = tiny_model_shape("llama");
    shape.seed = seed;
    return open_model(tiny_model_path(shape));
}

std::unique_ptr<TextEmbedder> open_server(const std::string& model) {
    static const std::unique_ptr<TextEmbedder> hashed = make_hashed_embedder();
    static StubServer server(embeddings_of(*hashed));
    HttpEmbedderOptions options;
    options.url = server.url();
    options.model = model;
    return opened(open_http_embedder(options));
}

std::vector<EmbedderUnderTest> embedders() {
    std::vector<EmbedderUnderTest> embedders;
    embedders.push_back({"hashed", [] { return make_hashed_embedder(); },
                         [] { return std::make_unique<test::WordEmbedder>(); }});
    embedders.push_back({"llama", [] { return open_causal(1); }, [] { return open_causal(2); }});
    for (const uint32_t pooling : {1u, 2u}) {
        embedders.push_back(
            {pooling == 1 ? "bert_mean" : "bert_cls",
             [pooling] { return open_model(tiny_bert_path({.pooling = pooling})); },
             [pooling] { return open_model(tiny_bert_path({.pooling = 3 - pooling})); }});
    }
    embedders.push_back({"http", [] { return open_server("a"); }, [] { return open_server("b"); }});
    return embedders;
}

INSTANTIATE_TEST_SUITE_P(Embedders, EmbedderContract, ::testing::ValuesIn(embedders()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace spolia::testing
