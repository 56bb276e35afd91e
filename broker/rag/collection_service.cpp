#include "broker/rag/collection_service.h"

#include <utility>

namespace spolia {

CollectionService::CollectionService(const std::filesystem::path& directory,
                                     std::unique_ptr<TextEmbedder> embedder)
    : embedder_(std::move(embedder)), store_(directory, *embedder_) {
    for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { work(); });
}

CollectionService::~CollectionService() {
    {
        const MutexLock lock(mutex_);
        stopped_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

Status CollectionService::run(std::function<void()> work) {
    {
        const MutexLock lock(mutex_);
        if (waiting_.size() == kWaitingMax) {
            return Error{ErrorCode::kOverloaded,
                         std::to_string(kWaitingMax) + " requests wait for collections already"};
        }
        waiting_.push_back(std::move(work));
    }
    wake_.notify_one();
    return {};
}

void CollectionService::work() {
    for (;;) {
        std::function<void()> next;
        {
            const MutexLock lock(mutex_);
            while (waiting_.empty() && !stopped_) wake_.wait(mutex_);
            if (stopped_) return;
            next = std::move(waiting_.front());
            waiting_.pop_front();
        }
        next();
    }
}

}  // namespace spolia
