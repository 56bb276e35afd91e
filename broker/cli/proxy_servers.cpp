#include "broker/cli/proxy_servers.h"

#include <sys/resource.h>

#include <utility>

#include "broker/cli/loopback.h"
#include "broker/cli/nginx.h"

namespace spolia {
namespace {

void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

Status add_nginx(const ProxyBenchOptions& options, bool buffering, const char* part,
                 ProxyReport& report, ProxyServers& servers) {
    Result<std::unique_ptr<ServerProcess>> nginx =
        start_nginx({options.nginx, servers.folder->path(), servers.stub->port(),
                     options.proxy_threads, buffering});
    if (!nginx && nginx.error().code == ErrorCode::kNotFound) {
        report.skip(part, nginx.error());
        return {};
    }
    if (!nginx) return nginx.error();
    const Result<std::string> version = nginx_version(options.nginx);
    if (!version.ok()) return version.error();
    report.add_peer("nginx", (*nginx)->command(), *version);
    servers.nginx = std::move(nginx).value();
    servers.ways.push_back({"nginx", servers.nginx.get()});
    return {};
}

}  // namespace

std::string own_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

Result<std::unique_ptr<ServerProcess>> start_spolia_proxy(uint16_t upstream_port,
                                                          const char* upstream_kind,
                                                          const std::vector<std::string>& more) {
    const uint16_t port = free_port();
    std::vector<std::string> command = {
        own_program(),     "serve",
        "--upstream",      "http://127.0.0.1:" + std::to_string(upstream_port),
        "--upstream-kind", upstream_kind,
        "--port",          std::to_string(port),
        "--log-level",     "warning"};
    command.insert(command.end(), more.begin(), more.end());
    return ServerProcess::start(command, port);
}

Result<ProxyServers> start_proxy_servers(const ProxyBenchOptions& options, bool buffering,
                                         const char* part, ProxyReport& report) {
    raise_descriptor_limit();
    ProxyServers servers;
    Result<std::unique_ptr<TemporaryFolder>> folder = TemporaryFolder::make();
    if (!folder) return folder.error();
    servers.folder = std::move(folder).value();
    const uint16_t port = free_port();
    Result<std::unique_ptr<ServerProcess>> stub = ServerProcess::start(
        {own_program(), "bench", "proxy-stub", "--port", std::to_string(port)}, port);
    if (!stub) return stub.error();
    servers.stub = std::move(stub).value();
    servers.ways.push_back({"bare", servers.stub.get()});
    if (Status status = add_nginx(options, buffering, part, report, servers); !status) {
        return status.error();
    }
    Result<std::unique_ptr<ServerProcess>> spolia =
        start_spolia_proxy(servers.stub->port(), "openai",
                           {"--http-threads", std::to_string(options.proxy_threads),
                            "--connections-max", std::to_string(options.streams + 512)});
    if (!spolia) return spolia.error();
    servers.spolia = std::move(spolia).value();
    servers.ways.push_back({"spolia", servers.spolia.get()});
    return servers;
}

}  // namespace spolia
