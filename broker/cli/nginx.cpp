#include "broker/cli/nginx.h"

#include <fstream>

#include "broker/cli/child_process.h"
#include "broker/cli/loopback.h"

namespace spolia {
namespace {

Error not_found(const std::string& program) {
    return {ErrorCode::kNotFound, "there is no " + program + " (Debian: nginx-light)"};
}

std::string configuration(const NginxOptions& options, uint16_t port) {
    const std::string upstream = std::to_string(options.upstream_port);
    std::string text = "daemon off;\npid nginx.pid;\nworker_processes " +
                       std::to_string(options.workers) +
                       ";\nworker_rlimit_nofile 16384;\n"
                       "events { worker_connections 8192; }\n"
                       "http {\n  access_log off;\n  keepalive_requests 1000000000;\n";
    for (const char* what : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
        text += std::string("  ") + what + "_temp_path " + what + ";\n";
    }
    return text + "  upstream stub {\n    server 127.0.0.1:" + upstream +
           ";\n    keepalive 256;\n    keepalive_requests 1000000000;\n  }\n"
           "  server {\n    listen 127.0.0.1:" +
           std::to_string(port) +
           ";\n    location / {\n      proxy_pass http://stub;\n"
           "      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n"
           "      proxy_buffering " +
           (options.buffering ? "on" : "off") + ";\n    }\n  }\n}\n";
}

}  // namespace

Result<std::unique_ptr<ServerProcess>> start_nginx(const NginxOptions& options) {
    const std::filesystem::path program = find_program(options.program);
    if (program.empty()) return not_found(options.program);
    const uint16_t port = free_port();
    const std::filesystem::path file = options.folder / "nginx.conf";
    std::ofstream(file) << configuration(options, port);
    return ServerProcess::start({program.string(), "-p", options.folder.string(), "-c",
                                 file.string(), "-e", (options.folder / "error.log").string()},
                                port);
}

Result<std::string> nginx_version(const std::string& program) {
    const std::filesystem::path found = find_program(program);
    if (found.empty()) return not_found(program);
    Result<std::string> said = run_captured({found.string(), "-v"});
    if (!said) return said;
    std::string version = said->substr(said->find("nginx/", 0));
    version.resize(version.find_last_not_of(" \n") + 1);
    return version;
}

}  // namespace spolia
