#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "index/result.h"

namespace spolia {

struct LlamaServerOptions {
    std::filesystem::path binary;  // empty: find_llama_server()
    std::filesystem::path model;
    int32_t n_ctx = 0;  // of its one slot
    int32_t n_threads = 1;
    int32_t cache_reuse = 64;
};

// Where llama-server is: $SPOLIA_LLAMA_SERVER, the installation that spolia was built against, the
// PATH. Empty when it is nowhere.
std::filesystem::path find_llama_server();

// A stock llama-server as a child process on a free port of 127.0.0.1, for benches that measure it
// beside ours. Ended with this object.
class LlamaServerProcess {
public:
    // Returns once /health says ok. Fails with kNotFound without a binary, kIo when it ends or does
    // not come up in time.
    static Result<std::unique_ptr<LlamaServerProcess>> start(const LlamaServerOptions& options);
    ~LlamaServerProcess();
    LlamaServerProcess(const LlamaServerProcess&) = delete;
    LlamaServerProcess& operator=(const LlamaServerProcess&) = delete;

    uint16_t port() const { return port_; }
    // The command line, for reports.
    const std::string& command() const { return command_; }

private:
    LlamaServerProcess() = default;

    pid_t child_ = -1;
    uint16_t port_ = 0;
    std::string command_;
};

}  // namespace spolia
