#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "anchors/anchor.h"
#include "index/fingerprint.h"
#include "index/thread_annotations.h"

namespace spolia {

struct AnchorPoolOptions {
    uint64_t bytes_max = uint64_t{512} << 20;  // of all anchors' blocks
    size_t contexts_max = 4;                   // anchors of one chunk
};

// What a pool held at some moment. Immutable.
class AnchorSnapshot {
public:
    // The anchors of a chunk, none of them null.
    std::span<const std::shared_ptr<const Anchor>> find(const Key128& chunk) const;
    // The anchor whose rows are under `block`; null where there is none.
    std::shared_ptr<const Anchor> of_block(const Key128& block) const;
    size_t size() const { return by_block_.size(); }
    std::vector<std::shared_ptr<const Anchor>> all() const;

private:
    friend class AnchorPool;
    using Anchors = std::vector<std::shared_ptr<const Anchor>>;
    std::unordered_map<Key128, Anchors, Key128Hash> by_chunk_;
    std::unordered_map<Key128, std::shared_ptr<const Anchor>, Key128Hash> by_block_;
};

// Which chunks' rows are kept behind which text, under a budget. The rows themselves are in a block
// store; whoever adds an anchor has put them there, and takes out what add() evicts.
//
// Eviction: an anchor saves computing its rows whenever it is used, and costs what its rows take,
// so saving and cost are both in proportion to its rows, and it is how often it was used lately
// (uses halve every kHalfLife uses of the pool) that an anchor is kept for. Among equals the oldest
// goes. Thread-safe; readers take a snapshot, which costs a lock and a reference.
class AnchorPool {
public:
    static constexpr double kHalfLife = 512;

    explicit AnchorPool(const AnchorPoolOptions& options);

    std::shared_ptr<const AnchorSnapshot> snapshot() const EXCLUDES(mutex_);
    // Takes anchors in, in place of those with the same block, and publishes once. Returns the
    // blocks that have to go; new ones may be among them.
    std::vector<Key128> add(std::vector<Anchor> anchors) EXCLUDES(mutex_);
    // A prompt was served with the anchors of these blocks. Unknown ones are passed over.
    void used(std::span<const Key128> blocks) EXCLUDES(mutex_);
    // Their rows are gone.
    void erase(std::span<const Key128> blocks) EXCLUDES(mutex_);

    struct Stats {
        uint64_t anchors = 0;
        uint64_t bytes = 0;
        uint64_t evictions = 0;
    };
    Stats stats() const EXCLUDES(mutex_);

private:
    struct Use {
        double value = 0;  // as of `clock`
        uint64_t clock = 0;
        uint64_t age = 0;  // the pool's clock when it was added
    };
    using Words = std::unordered_map<Key128, std::weak_ptr<const ChunkWords>, Key128Hash>;

    double value_of(const Key128& block) const REQUIRES(mutex_);
    void insert(AnchorSnapshot& next, Anchor anchor) REQUIRES(mutex_);
    void remove(AnchorSnapshot& next, const Key128& block) REQUIRES(mutex_);
    // The block that is worth least; `anchors` is not empty.
    Key128 least(std::span<const std::shared_ptr<const Anchor>> anchors) const REQUIRES(mutex_);
    void share_words(Anchor& anchor) REQUIRES(mutex_);

    const AnchorPoolOptions options_;
    mutable Mutex mutex_;
    std::shared_ptr<const AnchorSnapshot> current_ GUARDED_BY(mutex_);
    std::unordered_map<Key128, Use, Key128Hash> uses_ GUARDED_BY(mutex_);
    Words words_ GUARDED_BY(mutex_);
    uint64_t clock_ GUARDED_BY(mutex_) = 0;
    uint64_t bytes_ GUARDED_BY(mutex_) = 0;
    uint64_t evictions_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spolia
