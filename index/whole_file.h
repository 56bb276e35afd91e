#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "index/result.h"

namespace spolia {

// The new content of a file, written beside it until it is whole. A crash leaves the old file or
// the new one. Nothing stays of a draft that is not published.
class FileDraft {
public:
    // Of the file at `path`. `content` names what is in it, for messages.
    static Result<FileDraft> create(std::filesystem::path path, std::string content);
    FileDraft(FileDraft&& other) noexcept;
    FileDraft& operator=(FileDraft&&) = delete;
    ~FileDraft();

    Status write(std::string_view bytes);
    // Puts it into the file's place, synced. To be called once, last.
    Status publish();

private:
    FileDraft(std::filesystem::path path, std::string content);
    Error error(int number) const;

    std::filesystem::path path_, draft_;
    std::string content_;
    int file_ = -1;
};

// Replaces a file in one step, as a FileDraft of these bytes.
Status replace_file(const std::filesystem::path& path, std::string_view bytes,
                    std::string_view content);

// All bytes of a file; nullopt where it can't be opened.
std::optional<std::string> read_whole_file(const std::filesystem::path& path);

// Moves a file that can't be used out of the way, for a person to look at. Returns its new name.
std::filesystem::path set_file_aside(const std::filesystem::path& path);

}  // namespace spolia
