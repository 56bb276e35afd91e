#include "reuse/block_store.h"

#include <algorithm>
#include <cassert>
#include <deque>
#include <thread>
#include <utility>

#include "index/thread_annotations.h"
#include "reuse/block_directory.h"
#include "reuse/block_file.h"
#include "reuse/disk_tier.h"
#include "reuse/ram_tier.h"

namespace spolia {
namespace {

bool same_tokens(const BlockMeta& meta, std::span<const Token> tokens) {
    return std::equal(meta.tokens.begin(), meta.tokens.end(), tokens.begin(), tokens.end());
}

}  // namespace

BlockPin::BlockPin(BlockPin&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}

BlockPin& BlockPin::operator=(BlockPin&& other) noexcept {
    BlockPin taken(std::move(other));
    std::swap(entry_, taken.entry_);
    return *this;
}

BlockPin::~BlockPin() {
    if (entry_ != nullptr) {
        entry_->pins.fetch_sub(1, std::memory_order_release);
    }
}

const KvBlock& BlockPin::operator*() const {
    assert(entry_ != nullptr);
    return *entry_->block;
}

const KvBlock* BlockPin::operator->() const { return &**this; }

// One lock guards both tiers and the write queue. Reading, writing and syncing of files happen
// outside it; what another thread changed meanwhile is looked at again after.
class BlockStore::Impl {
public:
    Impl(const BlockStoreOptions& options, const Key128& model, const KvLayout& layout,
         std::unique_ptr<BlockDirectory> directory);
    ~Impl();

    BlockPin find(const Key128& key, std::span<const Token> tokens) EXCLUDES(mutex_);
    std::optional<Tier> where(const Key128& key, std::span<const Token> tokens) const
        EXCLUDES(mutex_);
    std::optional<BlockMeta> meta(const Key128& key) const EXCLUDES(mutex_);
    Result<BlockPin> insert(std::unique_ptr<KvBlock> block) EXCLUDES(mutex_);
    bool erase(const Key128& key) EXCLUDES(mutex_);
    void flush() EXCLUDES(mutex_);
    BlockStoreStats stats() const EXCLUDES(mutex_);
    std::vector<Listing> list(size_t n_max) const EXCLUDES(mutex_);
    std::vector<Key128> keys(Provenance provenance, size_t n_max) const EXCLUDES(mutex_);

private:
    static BlockPin pin(RamEntry& entry);
    BlockPin pin_if_same(RamEntry& entry, std::span<const Token> tokens) REQUIRES(mutex_);
    BlockPin load(const DiskRecord& record) EXCLUDES(mutex_);
    void drop_unreadable(const DiskRecord& record, const Error& error) REQUIRES(mutex_);
    Status check_fits(const KvBlock& block) const;
    // Null when there is none.
    const BlockMeta* lookup(const Key128& key) const REQUIRES(mutex_);
    bool has_better(const BlockMeta& meta) const EXCLUDES(mutex_);
    void report(const Status& status) REQUIRES(mutex_);

    void enqueue(RamEntry& entry) REQUIRES(mutex_);
    void run_writer() EXCLUDES(mutex_);
    RamEntry* next_to_write() EXCLUDES(mutex_);
    void write(RamEntry& entry) EXCLUDES(mutex_);
    Status make_disk_room(const RamEntry& entry) EXCLUDES(mutex_);
    Status publish(const RamEntry& entry) EXCLUDES(mutex_);
    void finish_write(RamEntry& entry, const Status& status) EXCLUDES(mutex_);

    const BlockStoreOptions options_;
    const Key128 model_;
    const KvLayout layout_;
    const std::unique_ptr<const BlockDirectory> directory_;  // null: no disk tier

    mutable Mutex mutex_;
    RamTier ram_ GUARDED_BY(mutex_);
    std::optional<DiskTier> disk_ GUARDED_BY(mutex_);
    std::string last_disk_error_ GUARDED_BY(mutex_);
    uint64_t n_writes_dropped_ GUARDED_BY(mutex_) = 0;

    // Entries that wait to be written, and the bytes of these and of the one that is being written.
    std::deque<RamEntry*> queue_ GUARDED_BY(mutex_);
    uint64_t queue_bytes_ GUARDED_BY(mutex_) = 0;
    uint64_t n_queued_ GUARDED_BY(mutex_) = 0;  // ever
    uint64_t n_done_ GUARDED_BY(mutex_) = 0;    // of those, in order
    bool stopping_ GUARDED_BY(mutex_) = false;
    CondVar work_;  // queue_ or stopping_ changed
    CondVar done_;  // n_done_ changed
    std::thread writer_;
};

BlockStore::Impl::Impl(const BlockStoreOptions& options, const Key128& model,
                       const KvLayout& layout, std::unique_ptr<BlockDirectory> directory)
    : options_(options),
      model_(model),
      layout_(layout),
      directory_(std::move(directory)),
      ram_(options.ram_bytes_max) {
    if (directory_) {
        disk_.emplace(*directory_, options.disk_bytes_max);
        last_disk_error_ = disk_->scan_error();
        writer_ = std::thread([this] { run_writer(); });
    }
}

BlockStore::Impl::~Impl() {
    {
        MutexLock lock(mutex_);
        stopping_ = true;
    }
    work_.notify_one();
    if (writer_.joinable()) {
        writer_.join();
    }
}

BlockPin BlockStore::Impl::pin(RamEntry& entry) {
    entry.pins.fetch_add(1, std::memory_order_relaxed);
    return BlockPin(&entry);
}

BlockPin BlockStore::Impl::pin_if_same(RamEntry& entry, std::span<const Token> tokens) {
    if (!same_tokens(entry.block->meta(), tokens) || !ram_.touch(entry)) {
        return {};
    }
    if (disk_) {
        disk_->touch(entry.block->meta().key);
    }
    return pin(entry);
}

BlockPin BlockStore::Impl::find(const Key128& key, std::span<const Token> tokens) {
    BlockPin held;
    DiskRecord record;
    {
        MutexLock lock(mutex_);
        const DiskRecord* found = disk_ ? disk_->lookup(key) : nullptr;
        if (RamEntry* entry = ram_.lookup(key)) {
            held = pin_if_same(*entry, tokens);
            if (!held || found == nullptr) return held;
        } else if (found == nullptr || !same_tokens(found->meta, tokens) ||
                   !ram_.reserve(KvBlock::bytes_total(found->meta))) {
            return {};
        } else {
            record = *found;
        }
    }
    if (!held) return load(record);
    // For the next process: this one has the order in its index.
    directory_->mark_used(key);
    return held;
}

// The block's bytes are reserved in RAM.
BlockPin BlockStore::Impl::load(const DiskRecord& record) {
    const Key128& key = record.meta.key;
    Result<std::unique_ptr<KvBlock>> block = directory_->read(record.meta);
    if (block.ok()) {
        directory_->mark_used(key);
    }
    MutexLock lock(mutex_);
    const uint64_t reserved = KvBlock::bytes_total(record.meta);
    if (RamEntry* entry = ram_.lookup(key)) {  // another thread was faster
        ram_.cancel_reservation(reserved);
        return pin_if_same(*entry, record.meta.tokens);
    }
    const DiskRecord* now = disk_->lookup(key);
    const bool current = now != nullptr && now->generation == record.generation;
    if (!block.ok() || !current) {
        ram_.cancel_reservation(reserved);
        if (!block.ok() && current) {
            drop_unreadable(record, block.error());
        }
        return {};
    }
    disk_->touch(key);
    return pin(ram_.admit(std::move(block).value()));
}

void BlockStore::Impl::drop_unreadable(const DiskRecord& record, const Error& error) {
    last_disk_error_ = error.message;
    switch (error.code) {
        case ErrorCode::kCorrupt: report(disk_->set_aside(record.meta.key)); break;
        case ErrorCode::kNotFound: report(disk_->remove(record.meta.key)); break;
        default: break;  // the disk may recover
    }
}

std::optional<Tier> BlockStore::Impl::where(const Key128& key,
                                            std::span<const Token> tokens) const {
    MutexLock lock(mutex_);
    switch (ram_.match(key, tokens)) {
        case RamTier::Match::kSame: return Tier::kRam;
        case RamTier::Match::kOtherTokens: return std::nullopt;
        case RamTier::Match::kNone: break;
    }
    const DiskRecord* record = disk_ ? disk_->lookup(key) : nullptr;
    return record != nullptr && same_tokens(record->meta, tokens) ? std::optional(Tier::kDisk)
                                                                  : std::nullopt;
}

Status BlockStore::Impl::check_fits(const KvBlock& block) const {
    if (block.meta().model != model_ || block.meta().layout != layout_) {
        return Error{ErrorCode::kInvalidArgument,
                     "block store: a block of another model or layout can't be kept here"};
    }
    if (block.n_rows() == 0) {
        return Error{ErrorCode::kInvalidArgument, "block store: a block without rows has no use"};
    }
    return {};
}

const BlockMeta* BlockStore::Impl::lookup(const Key128& key) const {
    if (const RamEntry* entry = ram_.lookup(key)) return &entry->block->meta();
    const DiskRecord* record = disk_ ? disk_->lookup(key) : nullptr;
    return record != nullptr ? &record->meta : nullptr;
}

std::optional<BlockMeta> BlockStore::Impl::meta(const Key128& key) const {
    MutexLock lock(mutex_);
    const BlockMeta* found = lookup(key);
    return found != nullptr ? std::optional(*found) : std::nullopt;
}

bool BlockStore::Impl::has_better(const BlockMeta& meta) const {
    MutexLock lock(mutex_);
    const BlockMeta* other = lookup(meta.key);
    return other != nullptr && other->provenance < meta.provenance &&
           same_tokens(*other, meta.tokens);
}

Result<BlockPin> BlockStore::Impl::insert(std::unique_ptr<KvBlock> block) {
    if (Status status = check_fits(*block); !status.ok()) {
        return std::move(status).error();
    }
    if (has_better(block->meta())) {
        if (BlockPin better = find(block->meta().key, block->meta().tokens)) {
            return better;
        }
    }
    MutexLock lock(mutex_);
    const uint64_t bytes = block->bytes_total();
    if (!ram_.reserve(bytes)) {
        return Error{ErrorCode::kOutOfMemory,
                     "block store: no room for " + std::to_string(bytes) + " bytes; of " +
                         std::to_string(options_.ram_bytes_max) + " are in use " +
                         std::to_string(ram_.bytes_used()) +
                         "; raise the RAM budget or run fewer requests at once"};
    }
    RamEntry& entry = ram_.admit(std::move(block));
    if (disk_) {
        report(disk_->remove(entry.block->meta().key));
        enqueue(entry);
    }
    return pin(entry);
}

bool BlockStore::Impl::erase(const Key128& key) {
    MutexLock lock(mutex_);
    const bool in_ram = ram_.erase(key);
    const bool on_disk = disk_ && disk_->lookup(key) != nullptr;
    if (on_disk) {
        report(disk_->remove(key));
    }
    return in_ram || on_disk;
}

void BlockStore::Impl::flush() {
    MutexLock lock(mutex_);
    const uint64_t target = n_queued_;
    while (n_done_ < target) {
        done_.wait(mutex_);
    }
}

BlockStoreStats BlockStore::Impl::stats() const {
    MutexLock lock(mutex_);
    BlockStoreStats stats;
    stats.ram_blocks = ram_.n_blocks();
    stats.ram_bytes = ram_.bytes_used();
    stats.ram_evictions = ram_.n_evictions();
    stats.pinned_blocks = ram_.n_pinned();
    if (disk_) {
        stats.disk_blocks = disk_->n_blocks();
        stats.disk_bytes = disk_->bytes_used();
        stats.disk_evictions = disk_->n_evictions();
        stats.files_set_aside = disk_->n_set_aside();
    }
    stats.disk_writes_dropped = n_writes_dropped_;
    stats.last_disk_error = last_disk_error_;
    return stats;
}

std::vector<BlockStore::Listing> BlockStore::Impl::list(size_t n_max) const {
    MutexLock lock(mutex_);
    std::vector<Listing> listings;
    for (const auto* entries : {&ram_.resident(), &ram_.spilled()}) {
        for (const RamEntry& entry : *entries) {
            if (listings.size() == n_max) {
                return listings;
            }
            listings.push_back({entry.block->meta(), Tier::kRam, entry.bytes()});
        }
    }
    if (disk_) {
        for (const DiskRecord& record : disk_->records()) {
            if (listings.size() == n_max) {
                return listings;
            }
            if (ram_.lookup(record.meta.key) == nullptr) {
                listings.push_back({record.meta, Tier::kDisk, record.file_bytes});
            }
        }
    }
    return listings;
}

std::vector<Key128> BlockStore::Impl::keys(Provenance provenance, size_t n_max) const {
    MutexLock lock(mutex_);
    std::vector<Key128> keys;
    const auto add = [&](const BlockMeta& meta) {
        if (meta.provenance == provenance && keys.size() < n_max) keys.push_back(meta.key);
    };
    for (const RamEntry& entry : ram_.resident()) add(entry.block->meta());
    for (const RamEntry& entry : ram_.spilled()) add(entry.block->meta());
    if (!disk_) return keys;
    for (const DiskRecord& record : disk_->records()) {
        if (ram_.lookup(record.meta.key) == nullptr) add(record.meta);
    }
    return keys;
}

void BlockStore::Impl::report(const Status& status) {
    if (!status.ok()) {
        last_disk_error_ = status.error().message;
    }
}

void BlockStore::Impl::enqueue(RamEntry& entry) {
    if (queue_bytes_ + entry.bytes() > options_.write_queue_bytes_max) {
        ++n_writes_dropped_;
        return;
    }
    entry.writing = true;
    queue_bytes_ += entry.bytes();
    ++n_queued_;
    queue_.push_back(&entry);
    work_.notify_one();
}

void BlockStore::Impl::run_writer() {
    while (RamEntry* entry = next_to_write()) {
        write(*entry);
    }
}

// Waits for an entry; null when the store is being closed and all is written.
RamEntry* BlockStore::Impl::next_to_write() {
    MutexLock lock(mutex_);
    while (queue_.empty() && !stopping_) {
        work_.wait(mutex_);
    }
    if (queue_.empty()) {
        return nullptr;
    }
    RamEntry* entry = queue_.front();
    queue_.pop_front();
    return entry;
}

void BlockStore::Impl::write(RamEntry& entry) {
    const Key128 key = entry.block->meta().key;
    Status status = make_disk_room(entry);
    if (status.ok()) {
        status = directory_->write_incoming(*entry.block);
    }
    if (status.ok()) {
        status = publish(entry);
        if (status.ok()) {
            status = directory_->sync(key);
        } else {
            directory_->discard_incoming(key);
        }
    }
    finish_write(entry, status);
}

Status BlockStore::Impl::make_disk_room(const RamEntry& entry) {
    MutexLock lock(mutex_);
    if (entry.state == RamEntry::State::kOrphan) {
        return Error{ErrorCode::kCancelled, "erased before it was written"};
    }
    return disk_->make_room(block_file_bytes(entry.block->meta()));
}

Status BlockStore::Impl::publish(const RamEntry& entry) {
    MutexLock lock(mutex_);
    if (entry.state == RamEntry::State::kOrphan) {
        return Error{ErrorCode::kCancelled, "erased while it was written"};
    }
    return disk_->publish(entry.block->meta());
}

void BlockStore::Impl::finish_write(RamEntry& entry, const Status& status) {
    MutexLock lock(mutex_);
    if (status.ok()) {
        last_disk_error_.clear();
    } else if (status.error().code != ErrorCode::kCancelled) {
        ++n_writes_dropped_;
        report(status);
    }
    queue_bytes_ -= entry.bytes();
    ++n_done_;
    ram_.write_done(entry);
    done_.notify_all();
}

BlockStore::BlockStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BlockStore::~BlockStore() = default;

Result<std::unique_ptr<BlockStore>> BlockStore::open(const BlockStoreOptions& options,
                                                     const Key128& model, const KvLayout& layout) {
    std::unique_ptr<BlockDirectory> directory;
    if (!options.directory.empty()) {
        auto opened = BlockDirectory::open(options.directory, model, layout);
        if (!opened.ok()) {
            return std::move(opened).error();
        }
        directory = std::move(opened).value();
    }
    auto impl = std::make_unique<Impl>(options, model, layout, std::move(directory));
    return std::unique_ptr<BlockStore>(new BlockStore(std::move(impl)));
}

BlockPin BlockStore::find(const Key128& key, std::span<const Token> tokens) {
    return impl_->find(key, tokens);
}

std::optional<Tier> BlockStore::where(const Key128& key, std::span<const Token> tokens) const {
    return impl_->where(key, tokens);
}

std::optional<BlockMeta> BlockStore::meta(const Key128& key) const { return impl_->meta(key); }

Result<BlockPin> BlockStore::insert(std::unique_ptr<KvBlock> block) {
    return impl_->insert(std::move(block));
}

bool BlockStore::erase(const Key128& key) { return impl_->erase(key); }

void BlockStore::flush() { impl_->flush(); }

BlockStoreStats BlockStore::stats() const { return impl_->stats(); }

std::vector<BlockStore::Listing> BlockStore::list(size_t n_max) const { return impl_->list(n_max); }

std::vector<Key128> BlockStore::keys(Provenance provenance, size_t n_max) const {
    return impl_->keys(provenance, n_max);
}

}  // namespace spolia
