#include "anchors/anchor_pool.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace spolia {

std::span<const std::shared_ptr<const Anchor>> AnchorSnapshot::find(const Key128& chunk) const {
    const auto found = by_chunk_.find(chunk);
    if (found == by_chunk_.end()) return {};
    return found->second;
}

std::shared_ptr<const Anchor> AnchorSnapshot::of_block(const Key128& block) const {
    const auto found = by_block_.find(block);
    return found == by_block_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const Anchor>> AnchorSnapshot::all() const {
    std::vector<std::shared_ptr<const Anchor>> anchors;
    for (const auto& [block, anchor] : by_block_) anchors.push_back(anchor);
    std::ranges::sort(anchors, {}, &Anchor::block);
    return anchors;
}

AnchorPool::AnchorPool(const AnchorPoolOptions& options)
    : options_(options), current_(std::make_shared<const AnchorSnapshot>()) {}

std::shared_ptr<const AnchorSnapshot> AnchorPool::snapshot() const {
    MutexLock lock(mutex_);
    return current_;
}

std::vector<Key128> AnchorPool::add(std::vector<Anchor> anchors) {
    if (anchors.empty()) return {};
    MutexLock lock(mutex_);
    auto next = std::make_shared<AnchorSnapshot>(*current_);
    std::vector<Key128> evicted;
    const auto evict = [&](const Key128& block) REQUIRES(mutex_) {
        remove(*next, block);
        evicted.push_back(block);
        ++evictions_;
    };
    for (Anchor& anchor : anchors) {
        const Key128 chunk = anchor.chunk;
        insert(*next, std::move(anchor));
        const auto& of_chunk = next->by_chunk_[chunk];
        if (of_chunk.size() > options_.contexts_max) evict(least(of_chunk));
    }
    if (bytes_ > options_.bytes_max) {
        std::vector<std::shared_ptr<const Anchor>> all = next->all();
        while (bytes_ > options_.bytes_max) {
            const Key128 block = least(all);
            std::erase_if(all, [&](const auto& anchor) { return anchor->block == block; });
            evict(block);
        }
    }
    std::erase_if(words_, [](const auto& entry) { return entry.second.expired(); });
    current_ = std::move(next);
    return evicted;
}

void AnchorPool::insert(AnchorSnapshot& next, Anchor anchor) {
    if (next.by_block_.contains(anchor.block)) remove(next, anchor.block);
    share_words(anchor);
    uses_[anchor.block] = {.value = 1, .clock = clock_, .age = clock_};
    bytes_ += anchor.bytes;
    ++clock_;
    auto shared = std::make_shared<const Anchor>(std::move(anchor));
    next.by_block_[shared->block] = shared;
    next.by_chunk_[shared->chunk].push_back(shared);
}

void AnchorPool::remove(AnchorSnapshot& next, const Key128& block) {
    const auto found = next.by_block_.find(block);
    if (found == next.by_block_.end()) return;
    const std::shared_ptr<const Anchor> anchor = found->second;
    next.by_block_.erase(found);
    const auto of_chunk = next.by_chunk_.find(anchor->chunk);
    std::erase(of_chunk->second, anchor);
    if (of_chunk->second.empty()) next.by_chunk_.erase(of_chunk);
    uses_.erase(block);
    bytes_ -= anchor->bytes;
}

// The same chunk stands in front of many: its words are kept once.
void AnchorPool::share_words(Anchor& anchor) {
    for (ContextChunk& chunk : anchor.context) {
        std::weak_ptr<const ChunkWords>& known = words_[chunk.key];
        if (auto words = known.lock()) {
            chunk.words = std::move(words);
        } else {
            known = chunk.words;
        }
    }
}

double AnchorPool::value_of(const Key128& block) const {
    const Use& use = uses_.at(block);
    return use.value * std::exp2(-static_cast<double>(clock_ - use.clock) / kHalfLife);
}

Key128 AnchorPool::least(std::span<const std::shared_ptr<const Anchor>> anchors) const {
    const auto rank = [this](const std::shared_ptr<const Anchor>& anchor) REQUIRES(mutex_) {
        return std::tuple(value_of(anchor->block), uses_.at(anchor->block).age);
    };
    const auto found = std::ranges::min_element(
        anchors, [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    return (*found)->block;
}

void AnchorPool::used(std::span<const Key128> blocks) {
    MutexLock lock(mutex_);
    for (const Key128& block : blocks) {
        const auto found = uses_.find(block);
        if (found == uses_.end()) continue;
        found->second.value = value_of(block) + 1;
        found->second.clock = clock_++;
    }
}

void AnchorPool::erase(std::span<const Key128> blocks) {
    if (blocks.empty()) return;
    MutexLock lock(mutex_);
    auto next = std::make_shared<AnchorSnapshot>(*current_);
    for (const Key128& block : blocks) remove(*next, block);
    current_ = std::move(next);
}

AnchorPool::Stats AnchorPool::stats() const {
    MutexLock lock(mutex_);
    return {current_->size(), bytes_, evictions_};
}

}  // namespace spolia
