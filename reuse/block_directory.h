#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "index/result.h"
#include "index/unique_fd.h"
#include "reuse/block.h"
#include "reuse/block_file.h"

namespace spolia {

// Folders of files that are no blocks in use.
inline constexpr std::string_view kIncomingFolder = "incoming";
inline constexpr std::string_view kSetAsideFolder = "set_aside";

// The files of one model's blocks. Under the root that several models may share:
//
//     <model fingerprint>/ab/ab....kv   a block, named by its key
//     <model fingerprint>/incoming/     files being written; what a killed process leaves here goes
//     <model fingerprint>/set_aside/    files that failed a check, for a person to look at
//
// Holds an advisory lock on the model's folder for as long as it lives. May be used by several
// threads; the caller sees to it that no key is published, removed or set aside by two at once. A
// block is published by rename, after it was synced: what is visible is whole. A file's
// modification time is the block's last use; no two uses share one, whatever the file system's
// clock, so that the order of uses outlives the process.
class BlockDirectory {
public:
    // Makes the folder where it is missing. Fails with kIo.
    static Result<std::unique_ptr<BlockDirectory>> open(const std::filesystem::path& root,
                                                        const Key128& model,
                                                        const KvLayout& layout);

    struct Found {
        BlockMeta meta;
        uint64_t file_bytes = 0;
        int64_t used_ns = 0;  // when the block was written or last used
    };
    struct ScanReport {
        uint64_t n_set_aside = 0;
        std::string error;  // what could not be read, removed or set aside, the last of it
    };
    // Reads the headers of all blocks, sets aside what is none, and removes leftovers of writes.
    ScanReport scan(const std::function<void(Found)>& report) const;

    // Writes a block beside its place and syncs it; nothing is left on failure.
    Status write_incoming(const KvBlock& block) const;
    // Puts a block written so into its place, over one that is there.
    Status publish(const Key128& key) const;
    void discard_incoming(const Key128& key) const;
    // Makes publications of `key` survive a power failure.
    Status sync(const Key128& key) const;

    // The block under `meta`'s key. Fails with kCorrupt when the file is not a whole block of
    // meta's tokens, with kNotFound or kIo when it can't be read at all.
    Result<std::unique_ptr<KvBlock>> read(const BlockMeta& meta) const;
    // Keeps the time of a use for the next scan.
    void mark_used(const Key128& key) const;
    Status remove(const Key128& key) const;
    Status set_aside(const Key128& key) const;

private:
    BlockDirectory(std::filesystem::path path, UniqueFd folder, const Key128& model,
                   const KvLayout& layout);

    // Fails with kCorrupt when the file is not a block of this model and layout.
    Result<BlockHeader> read_header(int file, uint64_t file_bytes) const;
    Result<Found> inspect(const std::string& name) const;
    Status set_aside_file(const std::string& name) const;
    void scan_folder(const std::string& folder, const std::function<void(Found)>& report,
                     ScanReport& result) const;
    void remove_incoming(ScanReport& result) const;
    Status make_folder(const std::string& name) const;
    Status sync_folder(const std::string& name) const;
    // The time of a use made now: later than every other one's, even if the clock was set back.
    timespec next_use() const;
    // The error that errno tells of.
    Error io_error(std::string_view action, const std::string& name) const;

    std::filesystem::path path_;
    UniqueFd folder_;  // all names are relative to it
    Key128 model_;
    KvLayout layout_;
    mutable std::atomic<int64_t> last_use_ns_{0};
};

}  // namespace spolia
