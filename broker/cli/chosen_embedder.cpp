#include "broker/cli/chosen_embedder.h"

#include <string>

namespace spolia {

Result<std::unique_ptr<TextEmbedder>> open_chosen_embedder(const EmbedderChoice& choice,
                                                           EmbedderUse use) {
    Result<std::unique_ptr<TextEmbedder>> embedder = open_embedder(choice, use);
    if (embedder.ok()) return embedder;
    std::string advice = choice.url.empty()
                             ? "; see --embedding-model"
                             : "; see --embedding-url, --embedding-name and --embedding-key-env";
    if (use == EmbedderUse::kServe) {
        advice +=
            ". Without an embedding model or server all is served but searches in collections that "
            "were ingested with it";
    }
    return Error{embedder.error().code, embedder.error().message + advice};
}

}  // namespace spolia
