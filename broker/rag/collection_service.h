#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "broker/rag/collection_store.h"
#include "index/result.h"
#include "index/text_embedder.h"
#include "index/thread_annotations.h"

namespace spolia {

// The collections of a server, and the threads that search in them: reading files may take a while,
// and neither connections nor the engine shall wait for it. Thread-safe.
class CollectionService {
public:
    static constexpr size_t kThreads = 2;

    CollectionService(const std::filesystem::path& directory,
                      std::unique_ptr<TextEmbedder> embedder);
    ~CollectionService();  // finishes what runs, drops what waits
    CollectionService(const CollectionService&) = delete;
    CollectionService& operator=(const CollectionService&) = delete;

    CollectionStore& store() { return store_; }

    // Does some work on one of the threads. kOverloaded when too much waits; then it is never done.
    Status run(std::function<void()> work) EXCLUDES(mutex_);

private:
    static constexpr size_t kWaitingMax = 256;

    void work() EXCLUDES(mutex_);

    const std::unique_ptr<TextEmbedder> embedder_;
    CollectionStore store_;

    Mutex mutex_;
    CondVar wake_;
    std::deque<std::function<void()>> waiting_ GUARDED_BY(mutex_);
    bool stopped_ GUARDED_BY(mutex_) = false;
    std::vector<std::thread> threads_;
};

}  // namespace spolia
