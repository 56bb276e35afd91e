#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "adapters/openai/body_edits.h"
#include "adapters/openai/lru_map.h"
#include "index/thread_annotations.h"

namespace spolia {

// Puts documents of requests that allow it into an order in which prompts share prefixes: those
// seen in most sets of documents first. A set keeps the order it got first, as long as it is
// remembered: the next turn of a conversation begins like the one before. Thread-safe.
class DocumentOrder {
public:
    explicit DocumentOrder(size_t documents_max = 65536, size_t sets_max = 4096);

    // Documents are the text parts of a user message between its first and its last part, where
    // all parts between these are text, and there are two or more. Does nothing unless the body
    // has `"spolia": {"documents": "any_order"}`.
    void sort_documents(std::string_view body, ByteRange root, std::vector<BodyEdit>& edits)
        EXCLUDES(mutex_);

private:
    void sort_message(std::string_view body, ByteRange message, std::vector<BodyEdit>& edits)
        EXCLUDES(mutex_);
    // The keys in the order that their set has, or gets now.
    std::vector<Key128> ordered(std::vector<Key128> keys) EXCLUDES(mutex_);

    Mutex mutex_;
    LruMap<uint64_t> counts_ GUARDED_BY(mutex_);  // sets that had the document
    LruMap<std::vector<Key128>> orders_ GUARDED_BY(mutex_);
};

}  // namespace spolia
