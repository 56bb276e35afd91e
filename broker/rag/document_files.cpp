#include "broker/rag/document_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "broker/rag/document_reader.h"
#include "index/unique_fd.h"

namespace spolia {
namespace {

namespace fs = std::filesystem;

Error io_error(const std::string& what, int error) {
    return {ErrorCode::kIo, what + ": " + std::generic_category().message(error)};
}

FileState state_of(const struct stat& found) {
    return {static_cast<uint64_t>(found.st_size),
            int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec};
}

class Walk {
public:
    Status start(std::span<const fs::path> paths) {
        for (const fs::path& path : paths) {
            std::error_code error;
            fs::path root = fs::canonical(path, error);
            if (error) {
                return Error{ErrorCode::kNotFound,
                             "can't find " + path.string() + ": " + error.message()};
            }
            found_.roots.push_back(std::move(root));
        }
        return {};
    }

    DocumentWalk finish() && {
        for (const fs::path& root : found_.roots) visit_root(root);
        std::ranges::sort(found_.files, {}, &DocumentFile::path);
        const auto twice = std::ranges::unique(found_.files, {}, &DocumentFile::path);
        found_.files.erase(twice.begin(), twice.end());
        return std::move(found_);
    }

private:
    void visit_root(const fs::path& root) {
        const fs::path above = root.parent_path();
        std::error_code error;
        if (!fs::is_directory(root, error)) {
            found_.files.push_back({root, root.filename().string()});
            return;
        }
        std::vector<fs::path> folders = {root};
        while (!folders.empty()) {
            const fs::path folder = std::move(folders.back());
            folders.pop_back();
            visit_folder(folder, above, folders);
        }
    }

    void visit_folder(const fs::path& folder, const fs::path& above,
                      std::vector<fs::path>& folders) {
        std::error_code error;
        auto entry = fs::directory_iterator(folder, error);
        for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
            const fs::path& path = entry->path();
            if (path.filename().string().starts_with('.')) continue;
            std::error_code unknown;
            const fs::file_type type = entry->symlink_status(unknown).type();
            if (type == fs::file_type::symlink) {
                judge_link(path);
            } else if (type == fs::file_type::directory) {
                folders.push_back(path);
            } else if (type == fs::file_type::regular && document_format(path)) {
                found_.files.push_back({path, path.lexically_relative(above).string()});
            } else if (type == fs::file_type::none) {
                leave_unread(path, unknown);
            }
        }
        if (error) leave_unread(folder, error);
    }

    void leave_unread(const fs::path& path, const std::error_code& error) {
        found_.unread.push_back(path);
        found_.warnings.push_back(path.string() + ": can't be looked into: " + error.message());
    }

    void judge_link(const fs::path& link) {
        std::error_code error;
        const fs::path target = fs::canonical(link, error);
        if (error) {
            found_.warnings.push_back(link.string() + ": a link that leads nowhere; skipped");
        } else if (!is_below(target, found_.roots)) {
            found_.warnings.push_back(link.string() +
                                      ": a link that leads out of what was named, to " +
                                      target.string() + "; skipped");
        }
    }

    DocumentWalk found_;
};

}  // namespace

Result<DocumentWalk> find_documents(std::span<const fs::path> paths) {
    Walk walk;
    if (Status started = walk.start(paths); !started.ok()) return started.error();
    return std::move(walk).finish();
}

bool is_below(const fs::path& path, std::span<const fs::path> folders) {
    return std::ranges::any_of(folders, [&](const fs::path& folder) {
        const auto [at, end] = std::ranges::mismatch(folder, path);
        return at == folder.end();
    });
}

Result<FileState> file_state(const fs::path& path) {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) return io_error("can't be found", errno);
    if (!S_ISREG(found.st_mode)) return invalid("it is no regular file");
    return state_of(found);
}

Result<FileContent> read_document_file(const fs::path& path, size_t bytes_max) {
    // A pipe would keep an open() without O_NONBLOCK waiting.
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file.valid()) return io_error("can't be opened", errno);
    struct stat found {};
    if (::fstat(file.get(), &found) != 0) return io_error("can't be read", errno);
    if (!S_ISREG(found.st_mode)) return invalid("it is no regular file");
    const auto too_long = [&] {
        return invalid("it is longer than " + std::to_string(bytes_max >> 20) + " MiB");
    };
    FileContent content{state_of(found), {}};
    if (content.state.size > bytes_max) return too_long();
    // One byte more than it had tells whether it grew.
    content.bytes.resize(static_cast<size_t>(content.state.size) + 1);
    size_t n_read = 0;
    while (n_read < content.bytes.size()) {
        const ssize_t n =
            ::read(file.get(), content.bytes.data() + n_read, content.bytes.size() - n_read);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error("can't be read", errno);
        if (n == 0) break;
        n_read += static_cast<size_t>(n);
    }
    if (n_read > content.state.size) return invalid("it grows while it is read; try again");
    content.bytes.resize(n_read);
    return content;
}

}  // namespace spolia
