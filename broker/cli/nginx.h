#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "broker/cli/server_process.h"
#include "index/result.h"

namespace spolia {

struct NginxOptions {
    std::string program = "nginx";
    std::filesystem::path folder;  // for its files; must be there
    uint16_t upstream_port = 0;
    int workers = 1;
    bool buffering = true;  // nginx's default; without it events of a stream are passed on at once
};

// Starts nginx with one proxy_pass to a server on 127.0.0.1, over connections that it keeps. Fails
// with kNotFound where there is no nginx.
Result<std::unique_ptr<ServerProcess>> start_nginx(const NginxOptions& options);

// "nginx/1.22.1"
Result<std::string> nginx_version(const std::string& program);

}  // namespace spolia
