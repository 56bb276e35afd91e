#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "index/result.h"
#include "index/vector_graph.h"
#include "index/vector_memory.h"
#include "index/vector_rows.h"
#include "index/vector_view.h"

namespace spolia {

// What is done for a partition of an index of vectors in the background, and what came of it: a
// graph that takes up the rows behind the old one, or, where many were removed, rows without these
// and a graph of them.
struct VectorChore {
    struct Means {
        size_t flat_max;  // no graph for so few rows
        int threads;
        const std::shared_ptr<VectorMemory>& memory;
        const std::atomic<bool>& stop;
    };

    explicit VectorChore(std::shared_ptr<const VectorView> of) : view(std::move(of)) {}

    void perform(const Means& means);
    // Of a view of the same rows, behind those copied until now.
    Status copy_row(const VectorView& from, size_t row);

    std::shared_ptr<const VectorView> view;
    std::shared_ptr<VectorRows> rows;  // without those removed; null: the view's stay
    std::vector<size_t> origins;       // what these rows are in the view
    std::shared_ptr<const VectorGraph> graph;
    bool failed = false;  // no room, or told to stop

private:
    Status copy_live(const std::shared_ptr<VectorMemory>& memory);
};

}  // namespace spolia
