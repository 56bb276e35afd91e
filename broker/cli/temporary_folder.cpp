#include "broker/cli/temporary_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

namespace spolia {

Result<std::unique_ptr<TemporaryFolder>> TemporaryFolder::make(
    const std::filesystem::path& parent) {
    std::string name = (parent / "spolia_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
        return Error{ErrorCode::kIo,
                     "can't make a folder in " + parent.string() + ": " + std::strerror(errno)};
    }
    return std::unique_ptr<TemporaryFolder>(new TemporaryFolder(name));
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Result<std::filesystem::path> TemporaryFolder::write(const std::string& name,
                                                     const std::string& text) const {
    const std::filesystem::path path = path_ / name;
    std::ofstream file(path);
    file << text << std::flush;
    if (!file) return Error{ErrorCode::kIo, "can't write " + path.string()};
    return path;
}

}  // namespace spolia
