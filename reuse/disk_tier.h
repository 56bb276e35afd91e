#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>

#include "index/fingerprint.h"
#include "index/result.h"
#include "reuse/block_directory.h"

namespace spolia {

struct DiskRecord {
    BlockMeta meta;
    uint64_t file_bytes = 0;
    uint64_t generation = 0;  // differs between two blocks of one key, one after the other
};

// What a BlockDirectory holds, by key, least recently used first out; the files' bytes stay within
// the budget. Token ids are kept in memory: 4 bytes a row, where the row itself takes thousands.
// Not thread-safe: BlockStore holds its lock around every call. Of the disk it does only what takes
// a moment (rename, unlink), so that index and folder never disagree.
class DiskTier {
public:
    // Scans the directory, which must outlive this.
    DiskTier(const BlockDirectory& directory, uint64_t bytes_max);

    const DiskRecord* lookup(const Key128& key) const;
    void touch(const Key128& key);

    // Removes what must go for `bytes` more. Fails with kIo, or where they exceed the whole budget.
    Status make_room(uint64_t bytes);
    // Publishes a block written to the directory's incoming folder.
    Status publish(const BlockMeta& meta);
    // Forgets the block, if it is there, and removes its file or moves it out of the way. On
    // failure the file stays where it is, and will be found again by the next process.
    Status remove(const Key128& key);
    Status set_aside(const Key128& key);

    uint64_t bytes_used() const { return bytes_; }
    uint64_t n_blocks() const { return records_.size(); }
    uint64_t n_evictions() const { return n_evictions_; }
    uint64_t n_set_aside() const { return n_set_aside_; }
    const std::string& scan_error() const { return scan_error_; }
    // The most recently used first.
    const std::list<DiskRecord>& records() const { return records_; }

private:
    using List = std::list<DiskRecord>;
    void add(BlockMeta meta, uint64_t file_bytes);
    void forget(List::iterator record);

    const BlockDirectory& directory_;
    uint64_t bytes_max_;
    uint64_t bytes_ = 0;
    uint64_t next_generation_ = 0;
    uint64_t n_evictions_ = 0;
    uint64_t n_set_aside_ = 0;
    std::string scan_error_;
    List records_;
    std::unordered_map<Key128, List::iterator, Key128Hash> index_;
};

}  // namespace spolia
