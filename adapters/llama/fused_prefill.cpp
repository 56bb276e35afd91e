#include "adapters/llama/fused_prefill.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "adapters/llama/elapsed.h"

namespace spolia {
namespace {

// deviations of `mendable` out of those of `rows`, of which it is a subset; both ascending.
std::vector<float> pick(std::span<const int32_t> rows, std::span<const float> deviations,
                        std::span<const int32_t> mendable) {
    std::vector<float> picked;
    picked.reserve(mendable.size());
    size_t at = 0;
    for (const int32_t row : mendable) {
        while (rows[at] != row) ++at;
        picked.push_back(deviations[at]);
    }
    return picked;
}

// What all passes of one prefill share.
struct Target {
    BlendGraph& graph;
    std::span<const KvSlab> slabs;
    std::span<const Token> tokens;
    const PrefillTick& tick;
};

// Runs one pass over `rows`, batch by batch. `logits` are those of the last row, where not empty.
Status run_pass(const Target& target, const BlendGraph::Pass& pass, std::span<const int32_t> rows,
                std::span<float> deviations, std::span<float> logits) {
    const size_t batch_rows = static_cast<size_t>(target.graph.n_batch_rows());
    std::vector<Token> tokens;
    for (size_t begin = 0; begin < rows.size(); begin += batch_rows) {
        BlendGraph::Batch batch;
        batch.rows = rows.subspan(begin, std::min(batch_rows, rows.size() - begin));
        tokens.clear();
        for (const int32_t row : batch.rows) {
            tokens.push_back(target.tokens[static_cast<size_t>(row)]);
        }
        batch.tokens = tokens;
        batch.logits = !logits.empty() && begin + batch.rows.size() == rows.size();
        const auto part =
            deviations.empty() ? deviations : deviations.subspan(begin, batch.rows.size());
        if (Status status = target.graph.run(pass, batch, target.slabs, part, logits); !status) {
            return status;
        }
        if (!batch.logits && target.tick && !target.tick()) {
            return Error{ErrorCode::kCancelled, "cancelled while its prompt was computed"};
        }
    }
    return {};
}

}  // namespace

Status fused_prefill(BlendGraph& graph, std::span<const KvSlab> slabs, const PrefillPlan& plan,
                     const PrefillRows& rows, const PrefillTick& tick, std::span<float> logits,
                     PrefillReport& report) {
    const auto start = std::chrono::steady_clock::now();
    const Target target{graph, slabs, plan.tokens, tick};
    const Selector* selector = plan.selector;
    std::span<const CheckStage> stages;
    std::vector<int32_t> chosen;  // passive rows that are still active
    if (selector != nullptr && !rows.mendable.empty()) stages = selector->stages();
    if (!stages.empty()) {
        chosen = rows.mendable;
    } else if (selector != nullptr) {
        chosen = selector->pick({rows.passive, plan.outline}).rows;
    }

    BlendGraph::Pass pass;
    std::vector<float> deviations;
    for (size_t stage = 0; stage < stages.size(); ++stage) {
        pass.layer_end = stages[stage].layer;
        pass.check = true;
        pass.deviation = selector->deviation();
        const std::vector<int32_t> active = merge_rows(rows.fresh, chosen);
        deviations.resize(active.size());
        if (Status status = run_pass(target, pass, active, deviations, {}); !status) return status;
        chosen =
            selector->choose(static_cast<int32_t>(stage), chosen, pick(active, deviations, chosen),
                             static_cast<int32_t>(rows.mendable.size()));
        pass = {};
        pass.layer_begin = stages[stage].layer;
        pass.kv_ready = true;
    }
    report.check_us = stages.empty() ? 0 : us_since(start);

    pass.layer_end = static_cast<int32_t>(slabs.size());
    const std::vector<int32_t> active = merge_rows(rows.fresh, chosen);
    if (Status status = run_pass(target, pass, active, {}, logits); !status) return status;
    report.compute_us = us_since(start) - report.check_us;
    count_rows(rows, std::move(chosen), report);
    return {};
}

}  // namespace spolia
