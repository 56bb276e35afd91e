#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "index/fingerprint.h"
#include "index/result.h"
#include "index/vector_graph.h"
#include "index/vector_memory.h"
#include "index/vector_rows.h"

namespace spolia {

// A partition of an index of vectors, as of a version. `graph` may be null.
struct StoredPartition {
    Key128 key;
    std::shared_ptr<VectorRows> rows;
    size_t n_rows = 0;
    uint64_t version = 0;
    std::shared_ptr<const VectorGraph> graph;
};

// A file of frames, little endian: u32 number of bytes, u32 number of the frame, the bytes, and 16
// bytes of hash_bytes() of all these. What the frames hold, in order:
//     "SPOLVEC1"; key of the embedder; u32 dimensions; u32 number of partitions
//     for each partition:
//         its key; u64 rows; u64 rows of the graph, u64 number of its links, i32 its entry
//         rows, kRowsPerFrame a frame: its id, u8 whether it is there, its floats
//         the graph's levels, u8 each, and its links, i32 each, kFrameBytes a frame

// Replaces the file in one step.
Status write_vector_file(const std::filesystem::path& path, const Key128& embedder, size_t n_dims,
                         std::span<const StoredPartition> partitions);

// Partitions of version 0, their rows in `memory`. Fails with kNotFound without a file, kIo where
// it can't be read, kCorrupt when it is damaged or of another embedder, and where `memory` does.
Result<std::vector<StoredPartition>> read_vector_file(const std::filesystem::path& path,
                                                      const Key128& embedder, size_t n_dims,
                                                      const std::shared_ptr<VectorMemory>& memory);

}  // namespace spolia
