#include "broker/cli/picture_file.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <vector>

#include "broker/cli/child_process.h"

namespace spolia {
namespace {

constexpr const char* kConverter = "rsvg-convert";

// Whether the command, found in PATH, ran and ended well. It shows nothing.
bool run_silent(const std::vector<std::string>& command) {
    const pid_t child = spawn_silent(command);
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

Error can_not_write(const std::filesystem::path& path) {
    return {ErrorCode::kIo, "can't write " + path.string() +
                                ": check that its folder is there and "
                                "may be written to"};
}

Status write_text(const std::filesystem::path& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    return file ? Status() : can_not_write(path);
}

Status write_png(const std::filesystem::path& path, const std::string& svg) {
    std::string source = (std::filesystem::temp_directory_path() / "spolia_XXXXXX").string();
    const int fd = mkstemp(source.data());
    if (fd < 0) return can_not_write(source);
    close(fd);
    Status written = write_text(source, svg);
    if (written && !run_silent({kConverter, "--zoom=2", "--output=" + path.string(), source})) {
        written = Error{ErrorCode::kIo, std::string(kConverter) + " could not make " +
                                            path.string() + ": write a .svg in its place"};
    }
    std::error_code ignored;
    std::filesystem::remove(source, ignored);
    return written;
}

}  // namespace

Status check_picture_file(const std::filesystem::path& path) {
    const std::string kind = path.extension().string();
    if (kind != ".svg" && kind != ".png") {
        return Error{ErrorCode::kInvalidArgument,
                     "picture " + path.string() + ": the name must end in .svg or .png"};
    }
    if (kind == ".png" && !run_silent({kConverter, "--version"})) {
        return Error{ErrorCode::kInvalidArgument,
                     "picture " + path.string() + ": a PNG takes " + kConverter +
                         " (Debian: librsvg2-bin); without it, name a .svg"};
    }
    const bool existed = std::filesystem::exists(path);
    if (!std::ofstream(path, std::ios::app)) return can_not_write(path);
    std::error_code ignored;
    if (!existed) std::filesystem::remove(path, ignored);
    return {};
}

Status write_picture_file(const std::filesystem::path& path, const std::string& svg) {
    return path.extension() == ".png" ? write_png(path, svg) : write_text(path, svg);
}

}  // namespace spolia
