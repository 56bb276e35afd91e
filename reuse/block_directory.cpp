#include "reuse/block_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

namespace spolia {
namespace {

constexpr std::string_view kSuffix = ".kv";
constexpr int kSameNameMax = 10000;
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

std::string folder_of(const Key128& key) { return key.hex().substr(0, 2); }

std::string name_of(const Key128& key) {
    return folder_of(key) + "/" + key.hex() + std::string(kSuffix);
}

std::string incoming_name_of(const Key128& key) {
    return std::string(kIncomingFolder) + "/" + key.hex() + std::string(kSuffix);
}

// The key that a file is named by; nullopt for a name that is none of ours.
std::optional<Key128> key_of(const std::string& name) {
    const std::string stem = std::filesystem::path(name).stem().string();
    const std::optional<Key128> key = Key128::from_hex(stem);
    return key && stem + std::string(kSuffix) == std::filesystem::path(name).filename()
               ? key
               : std::nullopt;
}

Error corrupt(const std::string& what) { return {ErrorCode::kCorrupt, what}; }

Status read_exactly(int file, std::span<std::byte> bytes, uint64_t offset) {
    while (!bytes.empty()) {
        const ssize_t n = ::pread(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return Error{ErrorCode::kIo,
                         std::string("can't read a block: ") + std::strerror(errno)};
        }
        if (n == 0) {
            return corrupt("the file shrank while it was read");
        }
        bytes = bytes.subspan(static_cast<size_t>(n));
        offset += static_cast<uint64_t>(n);
    }
    return {};
}

bool write_all(int file, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(file, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return true;
}

int open_regular(int folder, const std::string& name) {
    return ::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

// Names of the entries of a folder; empty with `error` set when it can't be read.
std::vector<std::string> entries_of(const std::filesystem::path& folder, std::error_code& error) {
    std::vector<std::string> names;
    std::filesystem::directory_iterator entry(folder, error);
    while (!error && entry != std::filesystem::directory_iterator()) {
        names.push_back(entry->path().filename().string());
        entry.increment(error);
    }
    return names;
}

}  // namespace

BlockDirectory::BlockDirectory(std::filesystem::path path, UniqueFd folder, const Key128& model,
                               const KvLayout& layout)
    : path_(std::move(path)), folder_(std::move(folder)), model_(model), layout_(layout) {}

Error BlockDirectory::io_error(std::string_view action, const std::string& name) const {
    const int number = errno;
    return {number == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
            "can't " + std::string(action) + " " + (path_ / name).string() + ": " +
                std::strerror(number)};
}

Result<std::unique_ptr<BlockDirectory>> BlockDirectory::open(const std::filesystem::path& root,
                                                             const Key128& model,
                                                             const KvLayout& layout) {
    const std::filesystem::path path = root / model.hex();
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) {
        return Error{ErrorCode::kIo, "can't make the block directory " + path.string() + ": " +
                                         error.message() +
                                         "; give one that can be written, or none"};
    }
    UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.valid()) {
        return Error{ErrorCode::kIo, "can't open the block directory " + path.string() + ": " +
                                         std::strerror(errno)};
    }
    if (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) {
        const std::string why = errno == EWOULDBLOCK
                                    ? "another process uses it; give each process its own"
                                    : std::strerror(errno);
        return Error{ErrorCode::kIo,
                     "can't lock the block directory " + path.string() + ": " + why};
    }
    return std::unique_ptr<BlockDirectory>(
        new BlockDirectory(path, std::move(folder), model, layout));
}

BlockDirectory::ScanReport BlockDirectory::scan(const std::function<void(Found)>& report) const {
    ScanReport result;
    remove_incoming(result);
    std::error_code error;
    for (const std::string& name : entries_of(path_, error)) {
        const bool fan_out = name.size() == 2 && Key128::from_hex(name + std::string(30, '0'));
        if (fan_out) {
            scan_folder(name, report, result);
        }
    }
    if (error) {
        result.error = "can't list " + path_.string() + ": " + error.message();
    }
    return result;
}

void BlockDirectory::scan_folder(const std::string& folder,
                                 const std::function<void(Found)>& report,
                                 ScanReport& result) const {
    std::error_code error;
    for (const std::string& file : entries_of(path_ / folder, error)) {
        const std::string name = folder + "/" + file;
        Result<Found> found = inspect(name);
        if (found.ok()) {
            last_use_ns_ = std::max(last_use_ns_.load(), found->used_ns);
            report(std::move(found).value());
            continue;
        }
        if (found.error().code != ErrorCode::kCorrupt) {
            result.error = found.error().message;
            continue;
        }
        const Status moved = set_aside_file(name);
        if (moved.ok()) {
            ++result.n_set_aside;
        } else {
            result.error = moved.error().message;
        }
    }
    if (error) {
        result.error = "can't list " + (path_ / folder).string() + ": " + error.message();
    }
}

void BlockDirectory::remove_incoming(ScanReport& result) const {
    std::error_code error;
    for (const std::string& file : entries_of(path_ / kIncomingFolder, error)) {
        const std::string name = std::string(kIncomingFolder) + "/" + file;
        if (key_of(file)) {
            if (::unlinkat(folder_.get(), name.c_str(), 0) != 0) {
                result.error = io_error("remove", name).message;
            }
        } else if (const Status moved = set_aside_file(name); moved.ok()) {
            ++result.n_set_aside;
        } else {
            result.error = moved.error().message;
        }
    }
}

Result<BlockDirectory::Found> BlockDirectory::inspect(const std::string& name) const {
    const std::optional<Key128> key = key_of(name);
    if (!key || name_of(*key) != name) {
        return corrupt("not a block's name: " + name);
    }
    const UniqueFd file(open_regular(folder_.get(), name));
    struct stat info {};
    if (!file.valid()) {
        return errno == ELOOP ? corrupt("a link: " + name) : io_error("open", name);
    }
    if (::fstat(file.get(), &info) != 0) {
        return io_error("read", name);
    }
    if (!S_ISREG(info.st_mode)) {
        return corrupt("not a plain file: " + name);
    }
    Result<BlockHeader> header = read_header(file.get(), static_cast<uint64_t>(info.st_size));
    if (!header.ok()) {
        return std::move(header).error();
    }
    if (header->meta.key != *key) {
        return corrupt("another block's file: " + name);
    }
    const int64_t used_ns =
        int64_t{info.st_mtim.tv_sec} * kNanosecondsPerSecond + info.st_mtim.tv_nsec;
    return Found{std::move(header->meta), static_cast<uint64_t>(info.st_size), used_ns};
}

Result<BlockHeader> BlockDirectory::read_header(int file, uint64_t file_bytes) const {
    std::vector<std::byte> bytes(std::min<uint64_t>(kBlockPrefixBytes, file_bytes));
    if (Status status = read_exactly(file, bytes, 0); !status.ok()) {
        return std::move(status).error();
    }
    const Result<uint64_t> offset = payload_offset(bytes, file_bytes);
    if (!offset.ok()) {
        return offset.error();
    }
    bytes.resize(*offset);
    if (Status status = read_exactly(file, bytes, 0); !status.ok()) {
        return std::move(status).error();
    }
    Result<BlockHeader> header = decode_block_header(bytes, file_bytes);
    if (header.ok() && (header->meta.model != model_ || header->meta.layout != layout_)) {
        return corrupt("a block of another model");
    }
    return header;
}

Status BlockDirectory::write_incoming(const KvBlock& block) const {
    if (Status made = make_folder(std::string(kIncomingFolder)); !made.ok()) {
        return made;
    }
    const std::string name = incoming_name_of(block.meta().key);
    UniqueFd file(::openat(folder_.get(), name.c_str(),
                           O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) {
        return io_error("make", name);
    }
    const timespec used[2] = {next_use(), next_use()};
    const bool written = write_all(file.get(), encode_block_header(block)) &&
                         write_all(file.get(), block.data()) && ::futimens(file.get(), used) == 0 &&
                         ::fsync(file.get()) == 0;
    if (!written) {
        Error error = io_error("write", name);
        discard_incoming(block.meta().key);
        return error;
    }
    return {};
}

Status BlockDirectory::publish(const Key128& key) const {
    if (Status made = make_folder(folder_of(key)); !made.ok()) {
        return made;
    }
    const std::string from = incoming_name_of(key);
    if (::renameat(folder_.get(), from.c_str(), folder_.get(), name_of(key).c_str()) != 0) {
        return io_error("publish", from);
    }
    return {};
}

void BlockDirectory::discard_incoming(const Key128& key) const {
    ::unlinkat(folder_.get(), incoming_name_of(key).c_str(), 0);
}

Status BlockDirectory::sync(const Key128& key) const { return sync_folder(folder_of(key)); }

Result<std::unique_ptr<KvBlock>> BlockDirectory::read(const BlockMeta& meta) const {
    const std::string name = name_of(meta.key);
    const UniqueFd file(open_regular(folder_.get(), name));
    struct stat info {};
    if (!file.valid() || ::fstat(file.get(), &info) != 0) {
        return errno == ELOOP ? corrupt("a link: " + name) : io_error("open", name);
    }
    if (!S_ISREG(info.st_mode)) {
        return corrupt("not a plain file: " + name);
    }
    Result<BlockHeader> header = read_header(file.get(), static_cast<uint64_t>(info.st_size));
    if (!header.ok()) {
        return std::move(header).error();
    }
    if (header->meta.key != meta.key || header->meta.tokens != meta.tokens) {
        return corrupt("another block's file: " + name);
    }
    auto block = std::make_unique<KvBlock>(header->meta);
    if (Status status = read_exactly(file.get(), block->data(), header->payload_offset);
        !status.ok()) {
        return std::move(status).error();
    }
    if (!payload_intact(*header, *block)) {
        return corrupt("the rows do not match their checksum: " + name);
    }
    return block;
}

void BlockDirectory::mark_used(const Key128& key) const {
    const timespec used[2] = {next_use(), next_use()};
    ::utimensat(folder_.get(), name_of(key).c_str(), used, AT_SYMLINK_NOFOLLOW);
}

timespec BlockDirectory::next_use() const {
    const int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
    int64_t last = last_use_ns_.load();
    while (!last_use_ns_.compare_exchange_weak(last, std::max(now, last + 1))) {}
    const int64_t use = std::max(now, last + 1);
    return {.tv_sec = use / kNanosecondsPerSecond, .tv_nsec = use % kNanosecondsPerSecond};
}

Status BlockDirectory::remove(const Key128& key) const {
    if (::unlinkat(folder_.get(), name_of(key).c_str(), 0) != 0 && errno != ENOENT) {
        return io_error("remove", name_of(key));
    }
    return {};
}

Status BlockDirectory::set_aside(const Key128& key) const { return set_aside_file(name_of(key)); }

Status BlockDirectory::set_aside_file(const std::string& name) const {
    if (Status made = make_folder(std::string(kSetAsideFolder)); !made.ok()) {
        return made;
    }
    const std::string target =
        std::string(kSetAsideFolder) + "/" + std::filesystem::path(name).filename().string();
    for (int i = 0; i < kSameNameMax; ++i) {
        const std::string free_name = i == 0 ? target : target + "." + std::to_string(i);
        struct stat info {};
        if (::fstatat(folder_.get(), free_name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
            continue;
        }
        if (::renameat(folder_.get(), name.c_str(), folder_.get(), free_name.c_str()) != 0) {
            return io_error("set aside", name);
        }
        return {};
    }
    return Error{ErrorCode::kIo, "can't set aside " + (path_ / name).string() + ": " +
                                     std::to_string(kSameNameMax) +
                                     " files of that name are there; clear the folder"};
}

Status BlockDirectory::make_folder(const std::string& name) const {
    if (::mkdirat(folder_.get(), name.c_str(), 0700) != 0) {
        return errno == EEXIST ? Status() : io_error("make", name);
    }
    return ::fsync(folder_.get()) == 0 ? Status() : io_error("sync", ".");
}

Status BlockDirectory::sync_folder(const std::string& name) const {
    const UniqueFd folder(
        ::openat(folder_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.valid() || ::fsync(folder.get()) != 0) {
        return io_error("sync", name);
    }
    return {};
}

}  // namespace spolia
