#include "broker/cli/timing_model.h"

#include <cstdio>
#include <cstdlib>

#include "adapters/llama/random_model.h"

namespace spolia {

std::filesystem::path cache_folder() {
    if (const char* own = std::getenv("SPOLIA_CACHE")) return own;
    if (const char* xdg = std::getenv("XDG_CACHE_HOME"))
        return std::filesystem::path(xdg) / "spolia";
    if (const char* home = std::getenv("HOME"))
        return std::filesystem::path(home) / ".cache" / "spolia";
    return std::filesystem::temp_directory_path() / "spolia";
}

Result<std::filesystem::path> timing_model() {
    // The name carries the recipe's version: a changed one makes a new file.
    const std::filesystem::path path = cache_folder() / "random-qwen2-0.5b-q8_0-v1.gguf";
    std::error_code error;
    if (std::filesystem::exists(path, error)) return path;
    std::filesystem::create_directories(path.parent_path(), error);
    std::fprintf(stderr, "writing the timing model (random weights, 440 MB) to %s\n", path.c_str());
    if (Status status = write_random_model(RandomModelShape{}, path.string()); !status) {
        return status.error();
    }
    return path;
}

}  // namespace spolia
