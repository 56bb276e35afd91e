#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/result.h"
#include "index/vector_rows.h"

namespace spolia {

// A navigable small world graph (HNSW, FAISS's) over the first rows of a VectorRows: which rows are
// nearest to a vector, by inner product, without looking at all of them. Immutable; rows that were
// removed stay in it.
class VectorGraph {
public:
    struct Near {
        uint32_t row = 0;
        float score = 0;  // inner product
    };
    struct Work {
        int threads = 1;
        const std::atomic<bool>& stop;  // gives up soon after it was set
    };
    // What a graph is made of, for a file. `links` is laid out as FAISS does: for each row those of
    // its levels from the lowest, -1 where there are fewer than fit.
    struct Parts {
        int32_t entry = -1;             // where searches start; -1 without rows
        std::vector<uint8_t> n_levels;  // of each row
        std::vector<int32_t> links;
    };

    ~VectorGraph();
    VectorGraph(const VectorGraph&) = delete;
    VectorGraph& operator=(const VectorGraph&) = delete;

    // `base` (null: an empty graph) with the rows up to `n_rows` added. Fails with kCancelled
    // or kOutOfMemory.
    static Result<std::shared_ptr<const VectorGraph>> extend(const VectorGraph* base,
                                                             const VectorRows& rows, size_t n_rows,
                                                             const Work& work);

    size_t n_rows() const;
    // Up to about `width` rows, nearest first: the nearest ones that a search keeping `width`
    // candidates comes upon. `rows` are those that the graph was made of. Nothing where memory runs
    // out.
    std::vector<Near> search(const VectorRows& rows, std::span<const float> query,
                             size_t width) const;

    Parts parts() const;
    // Fails with kCorrupt for parts that are no graph.
    static Result<std::shared_ptr<const VectorGraph>> from_parts(Parts parts);

private:
    struct Graph;
    explicit VectorGraph(std::unique_ptr<Graph> graph);

    const std::unique_ptr<Graph> graph_;
};

}  // namespace spolia
