#include "broker/rag/collection_service.h"

#include <utility>

namespace spolia {

CollectionService::CollectionService(const std::filesystem::path& directory,
                                     std::unique_ptr<TextEmbedder> embedder)
    : embedder_(std::move(embedder)),
      store_(directory, *embedder_),
      workers_(kThreads, kWaitingMax, "collections") {}

}  // namespace spolia
