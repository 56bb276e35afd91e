#include "broker/core/encode_queue.h"

#include <algorithm>
#include <utility>

namespace spolia {
namespace {

bool goes_behind(const EncodeQueue::Chunk& a, const EncodeQueue::Chunk& b) {
    return std::pair(a.n_seen, a.last_seen) < std::pair(b.n_seen, b.last_seen);
}

}  // namespace

void EncodeQueue::add(const Key128& scope, const Key128& key, std::span<const Token> tokens) {
    ++clock_;
    const auto found = find(key);
    if (found != chunks_.end()) {
        ++found->n_seen;
        found->last_seen = clock_;
        return;
    }
    if (chunks_max_ == 0) return;
    if (chunks_.size() >= chunks_max_) {
        chunks_.erase(std::min_element(chunks_.begin(), chunks_.end(), goes_behind));
    }
    chunks_.push_back({scope, key, {tokens.begin(), tokens.end()}, 1, clock_});
}

bool EncodeQueue::contains(const Key128& key) const {
    return std::any_of(chunks_.begin(), chunks_.end(),
                       [&](const Chunk& chunk) { return chunk.key == key; });
}

std::optional<EncodeQueue::Chunk> EncodeQueue::first() const {
    if (chunks_.empty()) return std::nullopt;
    return *std::max_element(chunks_.begin(), chunks_.end(), goes_behind);
}

void EncodeQueue::remove(const Key128& key) {
    const auto found = find(key);
    if (found != chunks_.end()) chunks_.erase(found);
}

std::vector<EncodeQueue::Chunk>::iterator EncodeQueue::find(const Key128& key) {
    return std::find_if(chunks_.begin(), chunks_.end(),
                        [&](const Chunk& chunk) { return chunk.key == key; });
}

}  // namespace spolia
