#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>

#include "broker/rag/collection_store.h"
#include "broker/worker_pool.h"
#include "index/result.h"
#include "index/text_embedder.h"

namespace spolia {

// The collections of a server, and the threads that search in them: reading files may take a while,
// and neither connections nor the engine shall wait for it. Thread-safe.
class CollectionService {
public:
    static constexpr size_t kThreads = 2;

    CollectionService(const std::filesystem::path& directory,
                      std::unique_ptr<TextEmbedder> embedder);

    CollectionStore& store() { return store_; }

    // Does some work on one of the threads. kOverloaded when too much waits; then it is never done.
    Status run(std::function<void()> work) { return workers_.run(std::move(work)); }

private:
    static constexpr size_t kWaitingMax = 256;

    const std::unique_ptr<TextEmbedder> embedder_;
    CollectionStore store_;
    WorkerPool workers_;  // last, so that its threads end first
};

}  // namespace spolia
