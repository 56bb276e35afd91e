#include "broker/rag/embedder_choice.h"

#include <algorithm>
#include <cstdlib>

#include "adapters/llama/embedding_model.h"
#include "broker/http/url.h"
#include "broker/rag/http_embedder.h"
#include "index/hashed_embedder.h"

namespace spolia {
namespace {

Result<std::string> key_in(const std::string& variable) {
    if (variable.empty()) return std::string();
    const char* value = std::getenv(variable.c_str());
    const std::string key = value == nullptr ? "" : value;
    if (key.empty()) {
        return invalid("the embedding server's key is to be in the environment variable " +
                       variable + ", which is not set");
    }
    if (!std::ranges::all_of(key, [](char c) { return c > ' ' && c < '\x7f'; })) {
        return invalid("the key in " + variable + " has spaces, or letters beyond ASCII");
    }
    return key;
}

}  // namespace

Status check_embedder_choice(const EmbedderChoice& choice) {
    if (!choice.model.empty() && !choice.url.empty()) {
        return invalid("an embedding model and an embedding server's URL are given: leave out one");
    }
    if (choice.url.empty() && !(choice.name.empty() && choice.key_env.empty())) {
        return invalid(
            "the name or the key of an embedding server's model is given, but no URL of the "
            "server");
    }
    if (choice.url.empty()) return {};
    const Result<HttpUrl> url = parse_http_url(choice.url);
    if (url.ok()) return {};
    return Error{url.error().code, "the embedding server's URL: " + url.error().message};
}

Result<std::unique_ptr<TextEmbedder>> open_embedder(const EmbedderChoice& choice, EmbedderUse use) {
    if (Status good = check_embedder_choice(choice); !good.ok()) return good.error();
    const bool serves = use == EmbedderUse::kServe;
    if (!choice.model.empty()) {
        EmbeddingModelOptions options;
        options.n_threads = choice.n_threads == 0 && serves ? 1 : choice.n_threads;
        options.n_gpu_layers = choice.n_gpu_layers;
        return open_embedding_model(choice.model.string(), options);
    }
    if (choice.url.empty()) return make_hashed_embedder();
    Result<std::string> key = key_in(choice.key_env);
    if (!key.ok()) return key.error();
    HttpEmbedderOptions options;
    options.url = choice.url;
    options.model = choice.name;
    options.api_key = *std::move(key);
    if (serves) {
        options.timeout = std::chrono::seconds(10);
        options.attempts_max = 2;
        options.wait_max = std::chrono::seconds(2);
    }
    return open_http_embedder(std::move(options));
}

}  // namespace spolia
