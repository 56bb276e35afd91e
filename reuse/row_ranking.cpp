#include "reuse/row_ranking.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

namespace spolia {

size_t share_of_rows(double ratio, int32_t n_rows) {
    return static_cast<size_t>(std::max(0.0, std::ceil(ratio * n_rows - 1e-6)));
}

std::vector<int32_t> top_rows(std::span<const int32_t> rows, std::span<const float> scores,
                              size_t n_keep) {
    assert(rows.size() == scores.size());
    if (n_keep >= rows.size()) return {rows.begin(), rows.end()};
    const auto rank = [&](size_t i) {
        return std::isnan(scores[i]) ? std::numeric_limits<float>::infinity() : scores[i];
    };
    std::vector<size_t> order(rows.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::nth_element(
        order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n_keep), order.end(),
        [&](size_t a, size_t b) { return rank(a) != rank(b) ? rank(a) > rank(b) : a < b; });
    order.resize(n_keep);
    std::sort(order.begin(), order.end());
    std::vector<int32_t> kept;
    kept.reserve(n_keep);
    for (const size_t i : order) kept.push_back(rows[i]);
    return kept;
}

std::vector<int32_t> unsettled_rows(std::span<const PassiveSpan> spans) {
    std::vector<int32_t> rows;
    for (const PassiveSpan& span : spans) {
        for (int32_t row = span.rows.begin; row < span.rows.end && !span.settled; ++row) {
            rows.push_back(row);
        }
    }
    return rows;
}

}  // namespace spolia
