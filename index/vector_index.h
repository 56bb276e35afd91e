#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "index/fingerprint.h"
#include "index/result.h"

namespace spolia {

struct VectorHit {
    Key128 id;
    float score = 0;  // inner product with the query
};

struct VectorName {
    Key128 partition;
    Key128 id;
};

struct VectorIndexOptions {
    std::filesystem::path file;  // empty: in memory only
    // A partition of up to this many vectors is searched exactly; a larger one through a graph, but
    // for the vectors that were added last.
    size_t flat_max = 8192;
    // Of one partition. add() refuses more.
    size_t partition_max = size_t{1} << 22;
    // That a search of a graph looks at closely: more is slower and finds more.
    size_t search_width = 80;
    // That build graphs, in the background.
    int build_threads = 1;
    // Of vectors, in all partitions. Those beyond lie on disk beside `file`, and add() refuses them
    // where there is none; what searches look at first, 29 % of a vector's bytes at 384 dimensions,
    // and graphs stay in memory.
    uint64_t memory_max = uint64_t{1} << 30;
};

// Which vectors are nearest to a given one, by inner product. All are of one embedder, and of
// length 1 or all zeros.
//
// May be used by any thread. Searches never wait for writers: they see the index as it was between
// two writes. add() waits where vectors come faster than a graph can take them up.
class VectorIndex {
public:
    // Takes up what `file` holds of this embedder. A file that is damaged, or another embedder's,
    // is set aside, and the index starts empty: see open_warning(). Fails with kIo when the file
    // can't be read at all, and where there is no room for what it holds.
    static Result<std::unique_ptr<VectorIndex>> open(VectorIndexOptions options,
                                                     const Key128& embedder, int32_t n_dims);
    ~VectorIndex();
    VectorIndex(const VectorIndex&) = delete;
    VectorIndex& operator=(const VectorIndex&) = delete;

    // Partitions (a model's and a tenant's, a collection's) know nothing of each other; the same id
    // may be in several. They come with their first vector and go with their last.

    // Adds a vector of n_dims floats, in place of the one of the same id. Fails with
    // kInvalidArgument for another number of floats or another length, with kOverloaded
    // when the partition is full, with kOutOfMemory or kIo when memory or the disk is.
    Status add(const Key128& partition, const Key128& id, std::span<const float> vector);
    // False when there was none.
    bool remove(const Key128& partition, const Key128& id);
    // The k nearest of the partition, best first; fewer only where it has fewer. Nothing for a
    // query of another number of floats or another length.
    std::vector<VectorHit> search(const Key128& partition, std::span<const float> query,
                                  size_t k) const;
    size_t size(const Key128& partition) const;
    // All there are, in no order.
    std::vector<VectorName> list() const;

    // Replaces the file by what the index holds now, in one step. Does nothing when nothing
    // changed, or without a file.
    Status save();
    // Waits until graphs hold all that they are going to, for what was added until now.
    void settle();
    // What was wrong with the file; empty when nothing was.
    const std::string& open_warning() const { return open_warning_; }

private:
    class State;
    VectorIndex(std::unique_ptr<State> state, std::string open_warning);

    const std::unique_ptr<State> state_;
    const std::string open_warning_;
};

}  // namespace spolia
