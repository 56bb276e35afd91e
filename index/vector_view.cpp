#include "index/vector_view.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "index/aligned_array.h"
#include "index/inner_product.h"
#include "index/vector_code.h"

namespace spolia {
namespace {

// The best so far, the worst of them in front.
class BestHits {
public:
    explicit BestHits(size_t k) : k_(k) { hits_.reserve(k); }

    bool takes(float score) const { return hits_.size() < k_ || score > hits_.front().score; }
    // One that is taken.
    void add(const VectorHit& hit) {
        if (hits_.size() == k_) {
            std::ranges::pop_heap(hits_, std::greater(), &VectorHit::score);
            hits_.pop_back();
        }
        hits_.push_back(hit);
        std::ranges::push_heap(hits_, std::greater(), &VectorHit::score);
    }
    std::vector<VectorHit> sorted() && {
        std::ranges::sort(hits_, std::greater(), &VectorHit::score);
        return std::move(hits_);
    }

private:
    const size_t k_;
    std::vector<VectorHit> hits_;
};

// Exact: a row whose code says that it can't be among the best is not looked at any closer.
void search_rows(const VectorView& view, std::span<const float> query, size_t begin, size_t end,
                 BestHits& best) {
    const auto code = make_aligned_array<int8_t>(code_bytes(query.size()));
    encode_vector(query, code.get());
    for (size_t row = begin; row < end; ++row) {
        if (!best.takes(inner_product_max(code.get(), view.rows->code(row), query.size()))) {
            continue;
        }
        const float score = inner_product(query.data(), view.rows->vector(row), query.size());
        if (best.takes(score) && view.alive(row)) best.add({view.rows->id(row), score});
    }
}

// Those alive among the rows nearest to the query are the nearest ones alive, if they are enough.
// If not, more has to be looked at, in the end everything.
void search_graph(const VectorView& view, std::span<const float> query, size_t k, size_t width,
                  BestHits& best) {
    const size_t n_wanted = std::min(k, view.n_live_in_graph);
    for (width = std::max(width, k); width < view.n_in_graph() / 4; width *= 4) {
        std::vector<VectorGraph::Near> near = view.graph->search(*view.rows, query, width);
        std::erase_if(near, [&](const VectorGraph::Near& n) { return !view.alive(n.row); });
        if (near.size() < n_wanted) continue;
        for (const VectorGraph::Near& n : near) {
            if (best.takes(n.score)) best.add({view.rows->id(n.row), n.score});
        }
        return;
    }
    search_rows(view, query, 0, view.n_in_graph(), best);
}

}  // namespace

std::vector<VectorHit> VectorView::search(std::span<const float> query, size_t k,
                                          size_t width) const {
    k = std::min(k, n_live);
    if (k == 0) return {};
    BestHits best(k);
    if (graph) search_graph(*this, query, k, width, best);
    search_rows(*this, query, n_in_graph(), n_rows, best);
    return std::move(best).sorted();
}

}  // namespace spolia
