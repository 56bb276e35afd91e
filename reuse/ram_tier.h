#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <utility>

#include <boost/unordered/unordered_flat_map.hpp>

#include "index/fingerprint.h"
#include "reuse/block.h"

namespace spolia {

// A block in memory. Its address is stable for as long as it is pinned or waits to be written.
struct RamEntry {
    enum class State : uint8_t {
        kResident,  // in the tier, under its budget
        kSpilled,   // evicted, but waiting to be written; under the write queue's budget
        kOrphan,    // erased or replaced, but pinned or being written; found by nobody
    };

    explicit RamEntry(std::unique_ptr<KvBlock> b) : block(std::move(b)) {}
    uint64_t bytes() const { return block->bytes_total(); }

    std::unique_ptr<KvBlock> block;
    // Raised under the store's lock only, dropped anywhere. So an entry that is seen unpinned under
    // the lock stays unpinned while the lock is held.
    std::atomic<int32_t> pins{0};
    State state = State::kResident;
    bool writing = false;  // queued for the disk, or on its way
};

// Blocks in memory by key, least recently used first out. The bytes of resident blocks and of
// pinned orphans stay within the budget; pinned blocks are never evicted. Not thread-safe:
// BlockStore holds its lock around every call.
class RamTier {
public:
    explicit RamTier(uint64_t bytes_max) : bytes_max_(bytes_max) {}

    // Resident or spilled; null when there is none. Valid until the next call that isn't const.
    RamEntry* lookup(const Key128& key) const;
    // Whether there is a block under `key`, and whether its tokens are these.
    enum class Match : uint8_t { kNone, kOtherTokens, kSame };
    Match match(const Key128& key, std::span<const Token> tokens) const;
    // Makes a found entry the most recently used, resident again if it was spilled; false when
    // pinned blocks leave no room for that.
    bool touch(RamEntry& entry);

    // Evicts what must go for `bytes` more and sets them aside for admit(). False, with nothing
    // evicted, when pinned blocks leave no room.
    bool reserve(uint64_t bytes);
    void cancel_reservation(uint64_t bytes) { reserved_bytes_ -= bytes; }
    // Takes a block whose bytes were reserved; the block of the same key becomes an orphan.
    RamEntry& admit(std::unique_ptr<KvBlock> block);
    // Forgets the block under `key`; false when there is none.
    bool erase(const Key128& key);
    // The block is on disk, or will never be.
    void write_done(RamEntry& entry);

    uint64_t bytes_used() const;
    uint64_t n_blocks() const { return resident_.size(); }
    uint64_t n_evictions() const { return n_evictions_; }
    uint64_t n_pinned() const;
    // Resident blocks, the most recently used first.
    const std::list<RamEntry>& resident() const { return resident_; }
    const std::list<RamEntry>& spilled() const { return spilled_; }

private:
    using List = std::list<RamEntry>;
    struct Place {
        List::iterator entry;
        std::span<const Token> tokens;  // the block's own: compared without a look at the block
    };

    List& list_of(RamEntry::State state);
    // Moves an entry to the front of another state's list.
    void move_to(List::iterator entry, RamEntry::State state);
    void evict(List::iterator entry);
    // Frees orphans that nobody holds any more.
    void reap();

    uint64_t bytes_max_;
    uint64_t resident_bytes_ = 0;
    uint64_t reserved_bytes_ = 0;
    uint64_t n_evictions_ = 0;
    List resident_;
    List spilled_;
    List orphans_;
    // Resident and spilled. Slots in one piece of memory: a lookup waits for it once.
    boost::unordered_flat_map<Key128, Place, Key128Hash> index_;
};

}  // namespace spolia
