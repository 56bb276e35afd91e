#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "adapters/llama_server/server_client.h"
#include "index/result.h"
#include "index/unique_fd.h"

namespace spolia {

// The folder through which slots go to and from a llama-server: its --slot-save-path. Several
// processes may use one, as long as their servers agree. Thread-safe.
class SlotFolder {
public:
    // What processes that were killed left there is removed, unless another spolia uses the folder.
    // kNotFound, with what to do, where it is none.
    static Result<std::unique_ptr<SlotFolder>> open(std::filesystem::path path);

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
    // Of a file for `what`: nobody else's, in any process, and never given again.
    std::string new_name(std::string_view what);

    // The bytes of the file that the server saves a slot to, which does not stay. Fails with what
    // to change on a command line.
    Result<std::string> save(const LlamaServerClient& server, int32_t slot);

private:
    SlotFolder(std::filesystem::path path, UniqueFd lock);

    const std::filesystem::path path_;
    const UniqueFd lock_;      // shared, while the folder is used
    const std::string owner_;  // of this process, for the names
    std::atomic<uint64_t> n_names_ = 0;
};

}  // namespace spolia
