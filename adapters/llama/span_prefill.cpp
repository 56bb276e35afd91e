#include "adapters/llama/span_prefill.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "adapters/llama/elapsed.h"
#include "adapters/llama/isolated_encoder.h"

namespace spolia {
namespace {

std::vector<TokenSpan> runs_of(std::span<const int32_t> rows) {
    std::vector<TokenSpan> runs;
    for (const int32_t row : rows) {
        if (runs.empty() || runs.back().end != row) runs.push_back({row, row});
        runs.back().end = row + 1;
    }
    return runs;
}

// The parts of the plan's blocks inside [begin, end).
std::vector<PlacedBlock> clip(std::span<const PlacedBlock> blocks, int32_t begin, int32_t end) {
    std::vector<PlacedBlock> parts;
    for (PlacedBlock part : blocks) {
        const int32_t first = std::max(part.row, begin);
        const int32_t last = std::min(part.row + part.n_rows, end);
        if (first >= last) continue;
        part.source_row += first - part.row;
        part.row = first;
        part.n_rows = last - first;
        parts.push_back(part);
    }
    return parts;
}

}  // namespace

Status span_prefill(SequenceCache& cache, const PrefillPlan& plan, const PrefillRows& rows,
                    const RopeSpec& rope, const PrefillTick& tick, PrefillReport& report) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<int32_t> chosen;
    if (plan.selector != nullptr && rows.composed()) {
        if (plan.selector->needs_fused_pass()) {
            return Error{ErrorCode::kInvalidArgument,
                         "this model is computed in contiguous spans; the selector " +
                             std::string(plan.selector->name()) + " needs the fused pass"};
        }
        chosen = plan.selector->pick({rows.passive, plan.outline}).rows;
    }
    // Rows of the sequence up to `right` are as they shall be; a span appends behind them.
    int32_t right = plan.n_keep;
    for (const TokenSpan& span : runs_of(merge_rows(rows.fresh, chosen))) {
        if (span.begin > right) {
            const int64_t before = us_since(start);
            const std::vector<PlacedBlock> parts = clip(plan.blocks, right, span.begin);
            if (Status status = cache.place(plan.sequence, span.begin, right, parts, rope);
                !status) {
                return status;
            }
            report.place_us += us_since(start) - before;
        }
        const auto tokens =
            plan.tokens.subspan(static_cast<size_t>(span.begin), static_cast<size_t>(span.size()));
        if (Status status = cache.append(plan.sequence, tokens, tick); !status) return status;
        right = span.end;
        if (tick && right < rows.n_rows && !tick()) {
            return Error{ErrorCode::kCancelled, "cancelled while its prompt was computed"};
        }
    }
    report.compute_us = us_since(start) - report.place_us;
    report.mend_row_layers = std::ssize(chosen) * cache.layout().n_layer;
    count_rows(rows, std::move(chosen), report);
    return {};
}

Result<std::unique_ptr<KvBlock>> span_encode(SequenceCache& cache, int32_t sequence,
                                             std::span<const Token> sink, BlockMeta meta,
                                             const RopeSpec& rope, const PrefillTick& tick) {
    std::vector<Token> tokens(sink.begin(), sink.end());
    tokens.insert(tokens.end(), meta.tokens.begin(), meta.tokens.end());
    cache.truncate(sequence, 0);
    if (Status status = cache.append(sequence, tokens, tick); !status) return status.error();
    const int32_t n_sink = static_cast<int32_t>(sink.size());
    std::unique_ptr<KvBlock> block = copy_rows(cache, sequence, n_sink, std::move(meta));
    cache.truncate(sequence, 0);
    shift_block(*block, rope, -n_sink);
    return block;
}

std::unique_ptr<KvBlock> copy_rows(const SequenceCache& cache, int32_t sequence, int32_t begin,
                                   BlockMeta meta) {
    auto block = std::make_unique<KvBlock>(std::move(meta));
    for (int32_t layer = 0; layer < cache.layout().n_layer; ++layer) {
        cache.tensors().read(layer, sequence, begin, block->k(layer), block->v(layer));
    }
    return block;
}

}  // namespace spolia
