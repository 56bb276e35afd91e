#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "broker/cli/server_process.h"
#include "index/result.h"

namespace spolia {

struct LlamaServerOptions {
    std::filesystem::path binary;  // empty: find_llama_server()
    std::filesystem::path model;
    int32_t n_ctx = 0;  // of its one slot
    int32_t n_threads = 1;
    int32_t cache_reuse = 64;  // --cache-reuse; 0: without it
    std::filesystem::path slot_folder =
        {};  // where slots may be saved and restored; empty: nowhere
};

// Where llama-server is: $SPOLIA_LLAMA_SERVER, the installation that spolia was built against, the
// PATH. Empty when it is nowhere.
std::filesystem::path find_llama_server();

// A stock llama-server on a free port of 127.0.0.1, for benches that measure it beside ours. Fails
// with kNotFound without a binary, otherwise as ServerProcess does.
Result<std::unique_ptr<ServerProcess>> start_llama_server(const LlamaServerOptions& options);

}  // namespace spolia
