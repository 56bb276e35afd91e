#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>

#include "index/result.h"

namespace spolia {

// Where vectors lie: in memory up to a bound, and what is beyond it in files without a name, of
// which the system keeps in memory what it has room for. May be used by any thread; outlives what
// is taken from it.
class VectorMemory {
public:
    class Release {
    public:
        void operator()(float* floats) const;

    private:
        friend class VectorMemory;
        VectorMemory* memory_ = nullptr;
        size_t n_bytes_ = 0;
        bool in_file_ = false;
    };
    using Floats = std::unique_ptr<float[], Release>;

    // No bound.
    VectorMemory() = default;
    // `directory`, where the files are, is made when it is needed; empty: there are none, and
    // nothing is given beyond the bound.
    VectorMemory(uint64_t bytes_max, std::filesystem::path directory)
        : bytes_max_(bytes_max), directory_(std::move(directory)) {}

    // Not initialized; begins on a cache line. Fails with kOutOfMemory, or kIo when the disk is
    // full.
    Result<Floats> take(size_t n);

    uint64_t bytes_in_memory() const { return bytes_in_memory_; }
    uint64_t bytes_in_files() const { return bytes_in_files_; }

private:
    bool count_in_memory(uint64_t n_bytes);
    Result<float*> map_file(size_t n_bytes) const;

    const uint64_t bytes_max_ = std::numeric_limits<uint64_t>::max();
    const std::filesystem::path directory_;
    std::atomic<uint64_t> bytes_in_memory_{0}, bytes_in_files_{0};
};

}  // namespace spolia
