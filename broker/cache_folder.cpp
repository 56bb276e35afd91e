#include "broker/cache_folder.h"

#include <cstdlib>

namespace spolia {

std::filesystem::path cache_folder() {
    if (const char* own = std::getenv("SPOLIA_CACHE")) return own;
    if (const char* xdg = std::getenv("XDG_CACHE_HOME"))
        return std::filesystem::path(xdg) / "spolia";
    if (const char* home = std::getenv("HOME"))
        return std::filesystem::path(home) / ".cache" / "spolia";
    return std::filesystem::temp_directory_path() / "spolia";
}

std::filesystem::path collections_folder(const std::filesystem::path& cache_directory) {
    return (cache_directory.empty() ? cache_folder() : cache_directory) / "collections";
}

}  // namespace spolia
