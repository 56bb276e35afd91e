#include "index/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace spolia {
namespace {

// 0, or the errno of what failed.
int write_synced(const std::filesystem::path& path, std::string_view bytes) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) return errno;
    int error = 0;
    while (!bytes.empty() && error == 0) {
        const ssize_t n = ::write(file, bytes.data(), bytes.size());
        if (n >= 0) {
            bytes.remove_prefix(static_cast<size_t>(n));
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    if (error == 0 && ::fsync(file) != 0) error = errno;
    if (::close(file) != 0 && error == 0) error = errno;
    return error;
}

}  // namespace

Status replace_file(const std::filesystem::path& path, std::string_view bytes,
                    std::string_view content) {
    std::filesystem::path draft = path;
    draft += ".new";
    int error = write_synced(draft, bytes);
    if (error == 0) {
        std::error_code failed;
        std::filesystem::rename(draft, path, failed);
        error = failed.value();
    }
    if (error == 0) return {};
    return Error{ErrorCode::kIo, "can't write " + std::string(content) + " to " + path.string() +
                                     ": " + std::generic_category().message(error)};
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
