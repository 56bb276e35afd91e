#pragma once

#include <memory>
#include <string>
#include <vector>

#include "broker/cli/bench_proxy.h"
#include "broker/cli/server_process.h"
#include "broker/cli/temporary_folder.h"
#include "index/result.h"

namespace spolia {

// This program's path, to start it as a child.
std::string own_program();

// `spolia serve` in front of an upstream, on a free port.
Result<std::unique_ptr<ServerProcess>> start_spolia_proxy(uint16_t upstream_port,
                                                          const char* upstream_kind,
                                                          const std::vector<std::string>& more);

// The stub, and the ways to it, each a process: "bare", "nginx" where that is installed, "spolia".
struct ProxyServers {
    struct Way {
        std::string name;
        const ServerProcess* server;
    };

    std::unique_ptr<TemporaryFolder> folder;
    std::unique_ptr<ServerProcess> stub, nginx, spolia;
    std::vector<Way> ways;  // bare first, spolia last
};

// Notes in `report` what is not there. `buffering` is nginx's. Raises this process's limit of
// descriptors to what it may have, which the others inherit.
Result<ProxyServers> start_proxy_servers(const ProxyBenchOptions& options, bool buffering,
                                         const char* part, ProxyReport& report);

}  // namespace spolia
