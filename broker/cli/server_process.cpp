#include "broker/cli/server_process.h"

#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "broker/cli/child_process.h"
#include "broker/cli/proxy_measures.h"
#include "broker/http/client.h"

namespace spolia {
namespace {

constexpr std::chrono::seconds kStartTimeout{120};

std::string text_of(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

}  // namespace

Result<std::unique_ptr<ServerProcess>> ServerProcess::start(const std::vector<std::string>& command,
                                                            uint16_t port) {
    std::unique_ptr<ServerProcess> server(new ServerProcess);
    server->port_ = port;
    server->command_ = command_line(command);
    server->child_ = spawn_silent(command);
    if (server->child_ < 0) return Error{ErrorCode::kIo, "can't run " + command.front()};

    const HttpClient client("127.0.0.1", port, std::chrono::seconds(5));
    const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
    while (std::chrono::steady_clock::now() < deadline) {
        if (waitpid(server->child_, nullptr, WNOHANG) == server->child_) {
            server->child_ = -1;
            return Error{ErrorCode::kIo,
                         "a server ended at once; run it by hand to see why: " + server->command_};
        }
        const Result<HttpReply> health = client.call("GET", "/health");
        if (health.ok() && health->status == 200) return server;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return Error{ErrorCode::kIo, "a server did not come up within " +
                                     std::to_string(kStartTimeout.count()) +
                                     " s: " + server->command_};
}

ServerProcess::~ServerProcess() {
    if (child_ <= 0) return;
    kill(child_, SIGTERM);
    for (int i = 0; i < 100; ++i) {
        if (waitpid(child_, nullptr, WNOHANG) == child_) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
}

Result<uint64_t> ServerProcess::resident_bytes() const {
    const std::string folder = "/proc/" + std::to_string(child_);
    const std::string id = std::to_string(child_);
    uint64_t bytes = resident_bytes_in(text_of(folder + "/status"));
    std::istringstream children(text_of(folder + "/task/" + id + "/children"));
    for (std::string child; children >> child;) {
        bytes += resident_bytes_in(text_of("/proc/" + child + "/status"));
    }
    if (bytes == 0) return Error{ErrorCode::kIo, folder + "/status does not tell VmRSS"};
    return bytes;
}

}  // namespace spolia
