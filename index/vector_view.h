#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/vector_graph.h"
#include "index/vector_index.h"
#include "index/vector_rows.h"

namespace spolia {

// What searches see of a partition of an index of vectors: it does not change any more.
struct VectorView {
    std::shared_ptr<const VectorRows> rows;
    std::shared_ptr<const VectorGraph> graph;  // of the first rows; may be null
    size_t n_rows = 0;                         // those behind them are being written
    uint64_t version = 0;
    size_t n_live = 0;  // rows that are not removed
    size_t n_live_in_graph = 0;

    size_t n_in_graph() const { return graph ? graph->n_rows() : 0; }
    size_t n_tail() const { return n_rows - n_in_graph(); }
    size_t n_dead() const { return n_rows - n_live; }
    // Whether so much was removed that it is worth the work to write the rest anew.
    bool sparse() const { return n_dead() >= 256 && n_dead() >= n_rows / 3; }
    bool alive(size_t row) const { return rows->alive(row, version); }

    // The k nearest, best first: those of the graph by a search of `width` or more, those behind
    // it one by one.
    std::vector<VectorHit> search(std::span<const float> query, size_t k, size_t width) const;
};

}  // namespace spolia
