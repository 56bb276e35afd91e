#include "reuse/disk_tier.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "reuse/block_file.h"

namespace spolia {

DiskTier::DiskTier(const BlockDirectory& directory, uint64_t bytes_max)
    : directory_(directory), bytes_max_(bytes_max) {
    std::vector<BlockDirectory::Found> found;
    const BlockDirectory::ScanReport report =
        directory_.scan([&](BlockDirectory::Found block) { found.push_back(std::move(block)); });
    n_set_aside_ = report.n_set_aside;
    scan_error_ = report.error;
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.used_ns < b.used_ns; });
    for (BlockDirectory::Found& block : found) {
        add(std::move(block.meta), block.file_bytes);
    }
    if (const Status status = make_room(0); !status.ok()) {
        scan_error_ = status.error().message;
    }
}

const DiskRecord* DiskTier::lookup(const Key128& key) const {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &*found->second;
}

void DiskTier::touch(const Key128& key) {
    if (const auto found = index_.find(key); found != index_.end()) {
        records_.splice(records_.begin(), records_, found->second);
    }
}

Status DiskTier::make_room(uint64_t bytes) {
    if (bytes > bytes_max_) {
        return Error{ErrorCode::kIo, "a block of " + std::to_string(bytes) +
                                         " bytes exceeds the disk budget of " +
                                         std::to_string(bytes_max_) + "; raise it"};
    }
    while (bytes_ > bytes_max_ - bytes) {
        const List::iterator oldest = std::prev(records_.end());
        if (Status status = directory_.remove(oldest->meta.key); !status.ok()) {
            return status;
        }
        ++n_evictions_;
        forget(oldest);
    }
    return {};
}

Status DiskTier::publish(const BlockMeta& meta) {
    if (Status status = directory_.publish(meta.key); !status.ok()) {
        return status;
    }
    if (const auto found = index_.find(meta.key); found != index_.end()) {
        forget(found->second);
    }
    add(meta, block_file_bytes(meta));
    return {};
}

Status DiskTier::remove(const Key128& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) {
        return {};
    }
    forget(found->second);
    return directory_.remove(key);
}

Status DiskTier::set_aside(const Key128& key) {
    Status status = directory_.set_aside(key);
    n_set_aside_ += status.ok() ? 1 : 0;
    if (const auto found = index_.find(key); found != index_.end()) {
        forget(found->second);
    }
    return status;
}

void DiskTier::add(BlockMeta meta, uint64_t file_bytes) {
    bytes_ += file_bytes;
    records_.push_front({std::move(meta), file_bytes, next_generation_++});
    index_.emplace(records_.front().meta.key, records_.begin());
}

void DiskTier::forget(List::iterator record) {
    bytes_ -= record->file_bytes;
    index_.erase(record->meta.key);
    records_.erase(record);
}

}  // namespace spolia
