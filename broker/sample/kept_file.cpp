#include "broker/sample/kept_file.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace spolia {
namespace {

bool holds(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    std::error_code error;
    if (std::filesystem::file_size(path, error) != bytes.size() || error) return false;
    std::ifstream file(path, std::ios::binary);
    std::vector<std::byte> found(bytes.size());
    file.read(reinterpret_cast<char*>(found.data()), static_cast<std::streamsize>(found.size()));
    return file.good() && std::ranges::equal(found, bytes);
}

}  // namespace

Status keep_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    if (holds(path, bytes)) return {};
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    std::filesystem::path draft = path;
    draft += "." + std::to_string(::getpid()) + ".part";
    std::ofstream file(draft, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (file.good()) std::filesystem::rename(draft, path, error);
    if (file.good() && !error) return {};
    std::filesystem::remove(draft, error);
    return Error{ErrorCode::kIo, "can't write " + path.string() +
                                     ": free space there, or set another SPOLIA_CACHE"};
}

}  // namespace spolia
