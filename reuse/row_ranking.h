#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "reuse/selector.h"

namespace spolia {

// ceil(ratio * n_rows), blind to the last bits of the product: 0.07 of 100 rows are 7.
size_t share_of_rows(double ratio, int32_t n_rows);

// The n_keep of `rows` (ascending) with the largest scores, ascending; all where there are no more.
// Of equal ones the first. A score that is not a number belongs to a broken row, which comes first.
std::vector<int32_t> top_rows(std::span<const int32_t> rows, std::span<const float> scores,
                              size_t n_keep);

// Rows of the spans that are not settled, ascending.
std::vector<int32_t> unsettled_rows(std::span<const PassiveSpan> spans);

}  // namespace spolia
