#include "broker/core/plan_report.h"

#include <algorithm>
#include <utility>

#include "broker/core/miss_reason.h"

namespace spolia {
namespace {

using namespace miss_reason;

void add_miss(std::vector<Miss>& misses, std::string_view reason, int32_t n_tokens) {
    if (n_tokens == 0) return;
    const auto same = std::find_if(misses.begin(), misses.end(),
                                   [&](const Miss& miss) { return miss.reason == reason; });
    if (same == misses.end()) {
        misses.push_back({std::string(reason), n_tokens});
    } else {
        same->n_tokens += n_tokens;
    }
}

// The parts of a preview, one behind the other.
class PreviewWriter {
public:
    void begin(const Segment& segment) {
        segment_ = segment;
        row_ = segment.span.begin;
    }

    // Of the rows up to `end`.
    void add(int32_t end, const char* action, std::string_view reason) {
        const TokenSpan rows{row_, end};
        if (rows.empty()) return;
        parts_.push_back({segment_.role, rows, action, std::string(reason), segment_.key});
        row_ = end;
    }

    void add_computed(int32_t end, const ChunkOutcome& chunk) {
        const std::string_view reason = chunk.miss.empty() ? kEdgeRow : chunk.miss;
        for (const TokenSpan rows : chunk.turned_down) {
            if (rows.begin < row_ || rows.end > end) continue;
            add(rows.begin, "compute", reason);
            add(rows.end, "compute", kNotProfitable);
        }
        add(end, "compute", reason);
    }

    std::vector<PlanPreview::Part> take() && { return std::move(parts_); }

private:
    Segment segment_;
    int32_t row_ = 0;
    std::vector<PlanPreview::Part> parts_;
};

}  // namespace

std::string policy_name(const PromptPlan& plan, std::string_view selector) {
    return std::string(std::ranges::any_of(plan.blocks, &PlannedBlock::anchored) ? kAnchorsPolicy
                                                                                 : selector);
}

Receipt start_receipt(const PromptPlan& plan, const ReusePolicy& policy) {
    Receipt receipt;
    receipt.fidelity = to_string(policy.fidelity);
    receipt.n_prompt = plan.n_prompt;
    receipt.n_chunks = static_cast<int32_t>(plan.chunks.size());
    receipt.policy = plan.composed      ? policy_name(plan, policy.params.policy)
                     : plan.n_exact > 0 ? "exact"
                                        : "dense";
    int32_t n_reused = 0;
    for (const ChunkOutcome& chunk : plan.chunks) {
        n_reused += chunk.n_reused;
        if (chunk.miss.empty()) {
            ++receipt.n_chunks_hit;
        } else {
            const TokenSpan span = chunk.segment.span;
            const int32_t n_turned_down = chunk.n_turned_down();
            add_miss(
                receipt.misses, chunk.miss,
                span.end - std::max(span.begin, plan.n_exact) - chunk.n_reused - n_turned_down);
            add_miss(receipt.misses, kNotProfitable, n_turned_down);
        }
    }
    if (plan.unmapped) add_miss(receipt.misses, kNoOffsets, plan.n_prompt - plan.n_exact);
    if (policy.fell_back && plan.mend) add_miss(receipt.misses, kNeedsFusedPass, n_reused);
    return receipt;
}

std::vector<PlanPreview::Part> preview_parts(const PromptPlan& plan,
                                             std::span<const Segment> segments) {
    PreviewWriter writer;
    auto chunk = plan.chunks.begin();
    for (const Segment& segment : segments) {
        const TokenSpan span = segment.span;
        writer.begin(segment);
        writer.add(std::clamp(plan.n_exact, span.begin, span.end), "exact", {});
        if (segment.role == SegmentRole::kChunk) {
            for (const PlannedBlock& block : plan.blocks) {
                if (block.exact || block.covers != span) continue;
                writer.add_computed(block.row, *chunk);
                writer.add(block.row + block.n_rows, "reuse", {});
            }
            writer.add_computed(span.end, *chunk++);
        } else {
            writer.add(span.end, "compute", {});
        }
    }
    return std::move(writer).take();
}

}  // namespace spolia
