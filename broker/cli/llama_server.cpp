#include "broker/cli/llama_server.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <thread>

#include "broker/cli/child_process.h"
#include "broker/http/client.h"

namespace spolia {
namespace {

constexpr std::chrono::seconds kStartTimeout{120};

// A port that was free a moment ago; 0 when the system gives none.
uint16_t free_port() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    uint16_t port = 0;
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
        port = ntohs(address.sin_port);
    }
    close(fd);
    return port;
}

}  // namespace

std::filesystem::path find_llama_server() {
    std::vector<std::filesystem::path> candidates;
    if (const char* named = std::getenv("SPOLIA_LLAMA_SERVER")) candidates.emplace_back(named);
    candidates.emplace_back(std::filesystem::path(SPOLIA_LLAMA_BIN_DIR) / "llama-server");
    if (const char* path = std::getenv("PATH")) {
        std::istringstream folders(path);
        for (std::string folder; std::getline(folders, folder, ':');) {
            candidates.push_back(std::filesystem::path(folder) / "llama-server");
        }
    }
    for (const auto& candidate : candidates) {
        if (access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    return {};
}

Result<std::unique_ptr<LlamaServerProcess>> LlamaServerProcess::start(
    const LlamaServerOptions& options) {
    const std::filesystem::path binary =
        options.binary.empty() ? find_llama_server() : options.binary;
    if (binary.empty()) {
        return Error{ErrorCode::kNotFound,
                     "no llama-server found: set SPOLIA_LLAMA_SERVER to its path"};
    }
    std::unique_ptr<LlamaServerProcess> server(new LlamaServerProcess);
    server->port_ = free_port();
    const std::vector<std::string> command = {std::filesystem::absolute(binary).string(),
                                              "--model",
                                              options.model.string(),
                                              "--host",
                                              "127.0.0.1",
                                              "--port",
                                              std::to_string(server->port_),
                                              "--threads",
                                              std::to_string(options.n_threads),
                                              "--ctx-size",
                                              std::to_string(options.n_ctx),
                                              "--parallel",
                                              "1",
                                              "--cache-reuse",
                                              std::to_string(options.cache_reuse),
                                              "--jinja"};
    for (const std::string& word : command) {
        server->command_ += (server->command_.empty() ? "" : " ") +
                            (&word == &command[0] ? binary.filename().string() : word);
    }
    server->child_ = spawn_silent(command);
    if (server->child_ < 0) return Error{ErrorCode::kIo, "can't run " + binary.string()};

    const HttpClient client("127.0.0.1", server->port_, std::chrono::seconds(5));
    const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
    while (std::chrono::steady_clock::now() < deadline) {
        if (waitpid(server->child_, nullptr, WNOHANG) == server->child_) {
            server->child_ = -1;
            return Error{ErrorCode::kIo, "llama-server ended at once; run it by hand to see why: " +
                                             server->command_};
        }
        const Result<HttpReply> health = client.call("GET", "/health");
        if (health.ok() && health->status == 200) return server;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return Error{ErrorCode::kIo, "llama-server did not come up within " +
                                     std::to_string(kStartTimeout.count()) + " s"};
}

LlamaServerProcess::~LlamaServerProcess() {
    if (child_ <= 0) return;
    kill(child_, SIGTERM);
    for (int i = 0; i < 100; ++i) {
        if (waitpid(child_, nullptr, WNOHANG) == child_) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
}

}  // namespace spolia
