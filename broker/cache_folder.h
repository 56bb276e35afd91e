#pragma once

#include <filesystem>

namespace spolia {

// Where spolia keeps what it can make again: $SPOLIA_CACHE, else $XDG_CACHE_HOME/spolia, else
// ~/.cache/spolia.
std::filesystem::path cache_folder();

// Where collections are: below the cache directory that is named, else below cache_folder().
std::filesystem::path collections_folder(const std::filesystem::path& cache_directory);

}  // namespace spolia
