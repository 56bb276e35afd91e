#pragma once

#include <cstdint>
#include <vector>

#include "reuse/engine.h"

namespace spolia {

// Which rows of a prompt come from where, derived from a PrefillPlan.
struct PrefillRows {
    int32_t n_rows = 0;
    int32_t n_fixed = 0;               // rows 0 .. n_fixed - 1 are exact: kept, or from exact pages
    std::vector<int32_t> fresh;        // in no block, or the last row: always computed; ascending
    std::vector<PassiveSpan> passive;  // behind n_fixed, without the last row
    std::vector<int32_t> mendable;     // rows of unsettled passive spans; ascending
    int32_t n_covered = 0;             // rows in `passive`

    bool composed() const { return !passive.empty(); }
};

// Fails with kInvalidArgument where the plan breaks its contract (see PrefillPlan).
Result<PrefillRows> prefill_rows(const PrefillPlan& plan, int32_t n_ctx, const KvLayout& layout);

// Ascending union of two ascending, disjoint lists.
std::vector<int32_t> merge_rows(std::span<const int32_t> a, std::span<const int32_t> b);

// Fills in the row counts of a report for a plan whose recomputed passive rows are `blended`.
void count_rows(const PrefillRows& rows, std::vector<int32_t> blended, PrefillReport& report);

}  // namespace spolia
