#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "index/result.h"

namespace spolia {

struct DocumentFile {
    std::filesystem::path path;  // absolute, without links
    std::string source;          // from the folder on that was named: "docs/http.md"
};

struct DocumentWalk {
    std::vector<DocumentFile> files;            // ascending by path, each once
    std::vector<std::filesystem::path> roots;   // as paths in `files` begin
    std::vector<std::filesystem::path> unread;  // could not be looked into, so may be folders
    std::vector<std::string> warnings;
};

// Finds the documents among files and in folders. A file that is named is one whatever its ending;
// in folders those are that read_document() knows the ending of. Hidden ones (".git") are left out.
// Links in folders are not followed: what they lead to is found where it stands; those that lead
// outside of the folders, to nowhere or in a circle are warned of. kNotFound: a path does not
// exist.
Result<DocumentWalk> find_documents(std::span<const std::filesystem::path> paths);

// Whether a path is one of the folders, or below one.
bool is_below(const std::filesystem::path& path, std::span<const std::filesystem::path> folders);

struct FileState {
    uint64_t size = 0;
    int64_t mtime_ns = 0;

    bool operator==(const FileState&) const = default;
};

// Of a regular file that is no link.
Result<FileState> file_state(const std::filesystem::path& path);

struct FileContent {
    FileState state;  // when reading began
    std::string bytes;
};

// kInvalidArgument: no regular file, or longer than bytes_max.
Result<FileContent> read_document_file(const std::filesystem::path& path, size_t bytes_max);

}  // namespace spolia
