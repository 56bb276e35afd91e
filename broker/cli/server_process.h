#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "index/result.h"

namespace spolia {

// An HTTP server as a child process on 127.0.0.1, for benches that measure it. Ended with this
// object.
class ServerProcess {
public:
    // Returns once GET /health on `port` says 200. Fails with kIo when the program ends or does not
    // come up in time.
    static Result<std::unique_ptr<ServerProcess>> start(const std::vector<std::string>& command,
                                                        uint16_t port);
    ~ServerProcess();
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;

    uint16_t port() const { return port_; }
    // The command line, for reports.
    const std::string& command() const { return command_; }
    // Memory in use, by the program and the programs that it started.
    Result<uint64_t> resident_bytes() const;

private:
    ServerProcess() = default;

    pid_t child_ = -1;
    uint16_t port_ = 0;
    std::string command_;
};

}  // namespace spolia
