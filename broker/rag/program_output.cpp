#include "broker/rag/program_output.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "index/unique_fd.h"

namespace spolia {
namespace {

using Clock = std::chrono::steady_clock;

class Child {
public:
    explicit Child(pid_t id) : id_(id) {}
    ~Child() {
        if (id_ > 0) {
            ::kill(id_, SIGKILL);
            wait();
        }
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    // As waitpid() gives it.
    int wait() {
        int status = 0;
        while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {}
        id_ = -1;
        return status;
    }

private:
    pid_t id_;
};

// 0, or the errno of what failed.
int spawn(const std::vector<std::string>& command, int output, pid_t& id) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const int error = posix_spawnp(&id, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

void limit_memory(pid_t id, size_t bytes) {
    const rlimit limit{bytes, bytes};
    ::prlimit(id, RLIMIT_AS, &limit, nullptr);
}

Result<std::string> read_all(int fd, const std::string& program, const ProgramLimits& limits) {
    const Clock::time_point end = Clock::now() + limits.time_max;
    std::string output;
    std::array<char, 64 << 10> buffer;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        pollfd wait{fd, POLLIN, 0};
        const int ready = left > 0 ? ::poll(&wait, 1, static_cast<int>(left)) : 0;
        if (ready == 0) {
            return invalid(program + " took longer than " +
                           std::to_string(limits.time_max.count()) + " s");
        }
        const ssize_t n = ready < 0 ? -1 : ::read(fd, buffer.data(), buffer.size());
        if (n == 0) return output;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            return Error{ErrorCode::kIo, "can't read what " + program +
                                             " writes: " + std::generic_category().message(errno)};
        }
        if (output.size() + static_cast<size_t>(n) > limits.output_bytes_max) {
            return invalid(program + " gave more than " +
                           std::to_string(limits.output_bytes_max >> 20) + " MiB");
        }
        output.append(buffer.data(), static_cast<size_t>(n));
    }
}

}  // namespace

Result<std::string> program_output(const std::vector<std::string>& command,
                                   const ProgramLimits& limits) {
    const std::string& program = command.front();
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return Error{ErrorCode::kIo,
                     "can't start " + program + ": " + std::generic_category().message(errno)};
    }
    const UniqueFd output(ends[0]);
    UniqueFd input(ends[1]);
    pid_t id = -1;
    if (const int error = spawn(command, input.get(), id); error != 0) {
        return Error{error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                     "can't start " + program + ": " + std::generic_category().message(error)};
    }
    Child child(id);
    limit_memory(id, limits.memory_bytes_max);
    input = UniqueFd();
    Result<std::string> text = read_all(output.get(), program, limits);
    if (!text.ok()) return text;
    const int status = child.wait();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return invalid(program + " failed" +
                       (WIFEXITED(status) ? " with " + std::to_string(WEXITSTATUS(status))
                                          : " by signal " + std::to_string(WTERMSIG(status))));
    }
    return text;
}

}  // namespace spolia
