#include "broker/cli/llama_server.h"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "broker/cli/child_process.h"
#include "broker/cli/loopback.h"

namespace spolia {

std::filesystem::path find_llama_server() {
    std::vector<std::filesystem::path> candidates;
    if (const char* named = std::getenv("SPOLIA_LLAMA_SERVER")) candidates.emplace_back(named);
    candidates.emplace_back(std::filesystem::path(SPOLIA_LLAMA_BIN_DIR) / "llama-server");
    for (const auto& candidate : candidates) {
        if (access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    return find_program("llama-server");
}

Result<std::unique_ptr<ServerProcess>> start_llama_server(const LlamaServerOptions& options) {
    const std::filesystem::path binary =
        options.binary.empty() ? find_llama_server() : options.binary;
    if (binary.empty()) {
        return Error{ErrorCode::kNotFound,
                     "no llama-server found: set SPOLIA_LLAMA_SERVER to its path"};
    }
    const uint16_t port = free_port();
    std::vector<std::string> command = {std::filesystem::absolute(binary).string(),
                                        "--model",
                                        options.model.string(),
                                        "--host",
                                        "127.0.0.1",
                                        "--port",
                                        std::to_string(port),
                                        "--threads",
                                        std::to_string(options.n_threads),
                                        "--ctx-size",
                                        std::to_string(options.n_ctx),
                                        "--parallel",
                                        "1",
                                        "--jinja"};
    const auto add = [&](std::initializer_list<std::string> words) {
        command.insert(command.end(), words);
    };
    if (options.cache_reuse > 0) add({"--cache-reuse", std::to_string(options.cache_reuse)});
    if (!options.slot_folder.empty()) {
        // Idle slots that move to memory would take a restored one with them.
        add({"--slot-save-path", options.slot_folder.string(), "--cache-ram", "0"});
    }
    return ServerProcess::start(command, port);
}

}  // namespace spolia
