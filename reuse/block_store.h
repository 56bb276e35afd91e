#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "index/result.h"
#include "reuse/block.h"

namespace spolia {

class BlockStore;
struct RamEntry;

// Holds a block in memory for as long as it lives. Empty when there is no block. Move-only; must
// not outlive its BlockStore.
class BlockPin {
public:
    BlockPin() = default;
    BlockPin(BlockPin&& other) noexcept;
    BlockPin& operator=(BlockPin&& other) noexcept;
    BlockPin(const BlockPin&) = delete;
    BlockPin& operator=(const BlockPin&) = delete;
    ~BlockPin();

    explicit operator bool() const { return entry_ != nullptr; }
    const KvBlock& operator*() const;
    const KvBlock* operator->() const;

private:
    friend class BlockStore;
    explicit BlockPin(RamEntry* entry) : entry_(entry) {}
    RamEntry* entry_ = nullptr;
};

enum class Tier : uint8_t { kRam, kDisk };

struct BlockStoreOptions {
    uint64_t ram_bytes_max = uint64_t{2} << 30;
    std::filesystem::path directory{};  // empty: no disk tier
    uint64_t disk_bytes_max = uint64_t{16} << 30;
    // Blocks waiting to be written; beyond it new blocks stay in RAM only and are counted.
    uint64_t write_queue_bytes_max = uint64_t{256} << 20;
};

struct BlockStoreStats {
    uint64_t ram_blocks = 0, ram_bytes = 0, ram_evictions = 0;
    uint64_t disk_blocks = 0, disk_bytes = 0, disk_evictions = 0;
    uint64_t pinned_blocks = 0;
    uint64_t disk_writes_dropped = 0;  // queue full or the disk refused
    uint64_t files_set_aside = 0;      // damaged or foreign files moved out of the way
    std::string last_disk_error;       // empty when all is well
};

// Blocks of one model, in RAM under a byte budget and behind it on disk: one self-describing,
// checksummed file a block. Thread-safe. A block is served only if its key, model, layout and
// token ids are those asked for; a file that fails any check is set aside and reported as absent.
class BlockStore {
public:
    // Scans the directory's file headers; damaged or foreign files are set aside, not deleted.
    // Fails when the directory can't be made or read, or is in use by another process.
    static Result<std::unique_ptr<BlockStore>> open(const BlockStoreOptions& options,
                                                    const Key128& model, const KvLayout& layout);
    ~BlockStore();  // finishes queued writes
    BlockStore(const BlockStore&) = delete;
    BlockStore& operator=(const BlockStore&) = delete;

    // The block under `key` whose tokens equal `tokens`, brought into RAM and pinned; an empty pin
    // when there is none.
    BlockPin find(const Key128& key, std::span<const Token> tokens);
    // Where the block is, without loading it. Token ids are compared.
    std::optional<Tier> where(const Key128& key, std::span<const Token> tokens) const;
    // Of the block under `key`, wherever it is.
    std::optional<BlockMeta> meta(const Key128& key) const;
    // Takes a block of this store's model and layout, replacing one of the same key, unless that
    // one has a better provenance. Queued for the disk tier. Fails with kOutOfMemory when pinned
    // blocks leave no room in the RAM budget.
    Result<BlockPin> insert(std::unique_ptr<KvBlock> block);
    // Removes the block from all tiers (once unpinned); false when there is none.
    bool erase(const Key128& key);
    // Blocks until everything queued before the call is on disk (synced) or refused.
    void flush();

    BlockStoreStats stats() const;
    // Metadata of all blocks, for listings; RAM first.
    struct Listing {
        BlockMeta meta;
        Tier tier;
        uint64_t bytes;
    };
    std::vector<Listing> list(size_t n_max) const;
    // Of the blocks of a provenance, the most recently used first; RAM first.
    std::vector<Key128> keys(Provenance provenance, size_t n_max) const;

private:
    friend class BlockPin;
    class Impl;
    explicit BlockStore(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace spolia
