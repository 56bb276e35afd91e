#include "index/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

namespace spolia {

FileDraft::FileDraft(std::filesystem::path path, std::string content)
    : path_(std::move(path)), draft_(path_), content_(std::move(content)) {
    draft_ += ".new";
}

FileDraft::FileDraft(FileDraft&& other) noexcept
    : path_(std::move(other.path_)),
      draft_(std::move(other.draft_)),
      content_(std::move(other.content_)),
      file_(std::exchange(other.file_, -1)) {}

FileDraft::~FileDraft() {
    if (file_ < 0) return;
    ::close(file_);
    ::unlink(draft_.c_str());
}

Result<FileDraft> FileDraft::create(std::filesystem::path path, std::string content) {
    FileDraft draft(std::move(path), std::move(content));
    draft.file_ = ::open(draft.draft_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (draft.file_ < 0) return draft.error(errno);
    return draft;
}

Status FileDraft::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(file_, bytes.data(), bytes.size());
        if (n >= 0) {
            bytes.remove_prefix(static_cast<size_t>(n));
        } else if (errno != EINTR) {
            return error(errno);
        }
    }
    return {};
}

Status FileDraft::publish() {
    if (::fsync(file_) != 0) return error(errno);
    if (::rename(draft_.c_str(), path_.c_str()) != 0) return error(errno);
    ::close(std::exchange(file_, -1));
    return {};
}

Error FileDraft::error(int number) const {
    return {ErrorCode::kIo, "can't write " + content_ + " to " + path_.string() + ": " +
                                std::generic_category().message(number)};
}

Status replace_file(const std::filesystem::path& path, std::string_view bytes,
                    std::string_view content) {
    Result<FileDraft> draft = FileDraft::create(path, std::string(content));
    if (!draft) return draft.error();
    if (Status written = draft->write(bytes); !written) return written;
    return draft->publish();
}

std::optional<std::string> read_whole_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    return std::string(std::istreambuf_iterator<char>(file), {});
}

std::filesystem::path set_file_aside(const std::filesystem::path& path) {
    std::filesystem::path aside = path;
    aside += ".set-aside";
    std::error_code ignored;
    std::filesystem::rename(path, aside, ignored);
    return aside;
}

}  // namespace spolia
