#pragma once

#include <filesystem>
#include <memory>

#include "index/result.h"

namespace spolia {

// A folder of the system's temporary ones, or of `parent`; gone with this object, and all in it.
class TemporaryFolder {
public:
    static Result<std::unique_ptr<TemporaryFolder>> make(
        const std::filesystem::path& parent = std::filesystem::temp_directory_path());
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::filesystem::path& path() const { return path_; }
    // Writes a file; returns its path.
    Result<std::filesystem::path> write(const std::string& name, const std::string& text) const;

private:
    explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}

    const std::filesystem::path path_;
};

}  // namespace spolia
