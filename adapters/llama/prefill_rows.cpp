#include "adapters/llama/prefill_rows.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "reuse/row_ranking.h"

namespace spolia {
namespace {

Error broken(const std::string& what) {
    return {ErrorCode::kInvalidArgument, "prefill plan: " + what};
}

Status check_block(const PlacedBlock& placed, int32_t behind, int32_t n_rows,
                   const KvLayout& layout) {
    if (placed.block == nullptr || placed.n_rows <= 0) return broken("an empty placed block");
    if (placed.row < behind || placed.row >= n_rows || placed.n_rows > n_rows - placed.row) {
        return broken("a block at row " + std::to_string(placed.row) +
                      " overlaps or stands outside");
    }
    const int32_t n_source = placed.block->n_rows();
    if (placed.source_row < 0 || placed.n_rows > n_source ||
        placed.source_row > n_source - placed.n_rows) {
        return broken("a block has fewer rows than are used of it");
    }
    if (placed.block->meta().layout != layout) return broken("a block of another model");
    if (placed.exact && placed.row != placed.block->meta().frame_row + placed.source_row) {
        return broken("an exact page away from its own position");
    }
    return {};
}

}  // namespace

Result<PrefillRows> prefill_rows(const PrefillPlan& plan, int32_t n_ctx, const KvLayout& layout) {
    PrefillRows rows;
    rows.n_rows = static_cast<int32_t>(plan.tokens.size());
    if (rows.n_rows == 0) return broken("no tokens");
    if (rows.n_rows > n_ctx) {
        return Error{ErrorCode::kContextTooLong, "the prompt has " + std::to_string(rows.n_rows) +
                                                     " tokens, but a sequence holds " +
                                                     std::to_string(n_ctx)};
    }
    if (plan.n_keep < 0 || plan.n_keep >= rows.n_rows) return broken("n_keep out of range");

    rows.n_fixed = plan.n_keep;
    int32_t behind = plan.n_keep;  // the end of the blocks so far
    const int32_t last = rows.n_rows - 1;
    for (const PlacedBlock& placed : plan.blocks) {
        if (Status status = check_block(placed, behind, rows.n_rows, layout); !status) {
            return status.error();
        }
        const int32_t begin = placed.row;
        const int32_t end = std::min(placed.row + placed.n_rows, last);
        if (placed.exact) {
            if (begin != rows.n_fixed || rows.composed()) return broken("exact pages leave a gap");
            rows.n_fixed = end;
        }
        for (int32_t row = behind; row < begin; ++row) rows.fresh.push_back(row);
        if (!placed.exact && end > begin) {
            rows.passive.push_back({{begin, end}, placed.settled, placed.known});
            rows.n_covered += end - begin;
        }
        behind = begin + placed.n_rows;
    }
    for (int32_t row = std::min(behind, last); row < rows.n_rows; ++row) rows.fresh.push_back(row);
    rows.mendable = unsettled_rows(rows.passive);
    return rows;
}

std::vector<int32_t> merge_rows(std::span<const int32_t> a, std::span<const int32_t> b) {
    std::vector<int32_t> merged;
    merged.reserve(a.size() + b.size());
    std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(merged));
    return merged;
}

void count_rows(const PrefillRows& rows, std::vector<int32_t> blended, PrefillReport& report) {
    report.n_exact = rows.n_fixed;
    report.n_blended = static_cast<int32_t>(blended.size());
    report.n_shifted = rows.n_covered - report.n_blended;
    report.n_computed = static_cast<int32_t>(rows.fresh.size());
    report.blended_rows = std::move(blended);
}

}  // namespace spolia
