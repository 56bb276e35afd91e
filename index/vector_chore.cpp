#include "index/vector_chore.h"

namespace spolia {

void VectorChore::perform(const Means& means) {
    if (view->sparse()) {
        failed = !copy_live(means.memory);
        if (failed) return;
    }
    const VectorGraph* base = rows ? nullptr : view->graph.get();
    const VectorRows& all = rows ? *rows : *view->rows;
    const size_t n_rows = rows ? rows->size() : view->n_rows;
    if (n_rows <= means.flat_max) return;
    Result<std::shared_ptr<const VectorGraph>> made =
        VectorGraph::extend(base, all, n_rows, {means.threads, means.stop});
    if (made) graph = *std::move(made);
    failed = !graph;
}

Status VectorChore::copy_row(const VectorView& from, size_t row) {
    const float* vector = from.rows->vector(row);
    Status copied = rows->append(from.rows->id(row), {vector, rows->n_dims()});
    if (copied) origins.push_back(row);
    return copied;
}

Status VectorChore::copy_live(const std::shared_ptr<VectorMemory>& memory) {
    rows = std::make_shared<VectorRows>(view->rows->n_dims(), memory);
    for (size_t row = 0; row < view->n_rows; ++row) {
        if (!view->alive(row)) continue;
        if (Status copied = copy_row(*view, row); !copied) return copied;
    }
    return {};
}

}  // namespace spolia
