#include "broker/cli/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <sstream>

#include "index/unique_fd.h"

namespace spolia {
namespace {

constexpr size_t kCapturedBytesMax = size_t{1} << 20;

// Both outputs go to `output`; to nowhere where that is -1.
pid_t spawn(const std::vector<std::string>& command, int output) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
        if (output >= 0) {
            posix_spawn_file_actions_adddup2(&actions, output, fd);
        } else {
            posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_WRONLY, 0);
        }
    }
    pid_t child = -1;
    if (posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) {
        child = -1;
    }
    posix_spawn_file_actions_destroy(&actions);
    return child;
}

}  // namespace

std::filesystem::path find_program(const std::string& name) {
    if (name.find('/') != name.npos) return access(name.c_str(), X_OK) == 0 ? name : "";
    const char* path = std::getenv("PATH");
    std::istringstream folders(std::string(path == nullptr ? "" : path) +
                               ":/usr/local/sbin:/usr/sbin");
    for (std::string folder; std::getline(folders, folder, ':');) {
        const std::filesystem::path candidate = std::filesystem::path(folder) / name;
        if (!folder.empty() && access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    return {};
}

pid_t spawn_silent(const std::vector<std::string>& command) { return spawn(command, -1); }

Result<std::string> run_captured(const std::vector<std::string>& command) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return Error{ErrorCode::kIo, "no descriptor is left"};
    const UniqueFd from(ends[0]);
    UniqueFd to(ends[1]);
    const pid_t child = spawn(command, to.get());
    to.reset();
    if (child < 0) return Error{ErrorCode::kIo, "can't run " + command.front()};
    std::string output;
    std::array<char, 4096> buffer;
    for (ssize_t n = 0; output.size() <= kCapturedBytesMax &&
                        (n = read(from.get(), buffer.data(), buffer.size())) > 0;) {
        output.append(buffer.data(), static_cast<size_t>(n));
    }
    int status = 0;
    if (output.size() > kCapturedBytesMax) kill(child, SIGKILL);
    waitpid(child, &status, 0);
    if (status == 0) return output;
    return Error{ErrorCode::kIo, command_line(command) + " failed: " + output.substr(0, 500)};
}

std::string command_line(const std::vector<std::string>& command) {
    std::string line = std::filesystem::path(command.front()).filename().string();
    for (size_t i = 1; i < command.size(); ++i) line += ' ' + command[i];
    return line;
}

}  // namespace spolia
