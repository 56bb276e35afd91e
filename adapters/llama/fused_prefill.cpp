#include "adapters/llama/fused_prefill.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>
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

// Runs one pass over `rows`, batch by batch. Asked for in `results` are a value a row of
// deviations, the logits of the last row, and attention where the rows are one batch.
Status run_pass(const Target& target, const BlendGraph::Pass& pass, std::span<const int32_t> rows,
                const BlendGraph::Results& results) {
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
        batch.logits = !results.logits.empty() && begin + batch.rows.size() == rows.size();
        BlendGraph::Results part = results;
        if (pass.check) part.deviations = results.deviations.subspan(begin, batch.rows.size());
        if (Status status = target.graph.run(pass, batch, target.slabs, part); !status) {
            return status;
        }
        if (!batch.logits && target.tick && !target.tick()) {
            return Error{ErrorCode::kCancelled, "cancelled while its prompt was computed"};
        }
    }
    return {};
}

// Of the rows behind the last block, the last ones.
size_t n_query_rows(const PrefillRows& rows, int32_t n_rows_max) {
    const auto tail = std::ranges::lower_bound(rows.fresh, rows.passive.back().rows.end);
    const auto n_tail = static_cast<size_t>(std::distance(tail, rows.fresh.end()));
    return std::min(n_tail, static_cast<size_t>(n_rows_max));
}

// Computes the rows in no block over the blocks as they are. Leaves what the query pays to each row
// of the prompt in `attention`.
Status see_attention(const Target& target, const PrefillRows& rows, std::vector<float>& attention) {
    const std::span<const int32_t> fresh = rows.fresh;
    const size_t n_query = n_query_rows(rows, target.graph.n_attention_rows(rows.n_rows));
    BlendGraph::Pass pass;
    pass.layer_end = static_cast<int32_t>(target.slabs.size());
    if (Status status = run_pass(target, pass, fresh.first(fresh.size() - n_query), {}); !status) {
        return status;
    }
    pass.attention = true;
    attention.resize(static_cast<size_t>(rows.n_rows));
    return run_pass(target, pass, fresh.last(n_query), {.attention = attention});
}

// The weights of a choice's rows at their places in the prompt; empty where it has none.
std::vector<float> by_row(const RowChoice& choice, int32_t n_rows) {
    if (choice.weights.empty()) return {};
    std::vector<float> weights(static_cast<size_t>(n_rows));
    for (size_t i = 0; i < choice.rows.size(); ++i) {
        weights[static_cast<size_t>(choice.rows[i])] = choice.weights[i];
    }
    return weights;
}

// The values at the places that `rows` names.
std::vector<float> at_rows(std::span<const float> values, std::span<const int32_t> rows) {
    std::vector<float> picked;
    if (values.empty()) return picked;
    picked.reserve(rows.size());
    for (const int32_t row : rows) picked.push_back(values[static_cast<size_t>(row)]);
    return picked;
}

}  // namespace

Status fused_prefill(BlendGraph& graph, std::span<const KvSlab> slabs, const PrefillPlan& plan,
                     const PrefillRows& rows, const PrefillTick& tick, std::span<float> logits,
                     PrefillReport& report) {
    const auto start = std::chrono::steady_clock::now();
    const Target target{graph, slabs, plan.tokens, tick};
    const Selector* selector = plan.selector;
    const bool mends = selector != nullptr && !rows.mendable.empty();
    std::span<const int32_t> fresh = rows.fresh;
    std::vector<float> attention;
    if (mends && selector->wants_attention()) {
        if (Status status = see_attention(target, rows, attention); !status) return status;
        report.n_probed = static_cast<int32_t>(fresh.size());
        report.mend_row_layers = std::ssize(fresh) * std::ssize(slabs);
        // In front of all blocks they are as they shall be.
        const auto behind = std::ranges::lower_bound(fresh, rows.passive.front().rows.begin);
        fresh = {behind, fresh.end()};
    }
    std::vector<int32_t> chosen;  // passive rows that are still active
    std::vector<float> weights;   // of each row of the prompt, where the selector weighs them
    if (selector != nullptr) {
        RowChoice choice = selector->pick({rows.passive, plan.outline, attention});
        weights = by_row(choice, rows.n_rows);
        chosen = std::move(choice.rows);
    }
    std::span<const CheckStage> stages;
    if (mends && !chosen.empty()) stages = selector->stages();

    BlendGraph::Pass pass;
    std::vector<float> deviations;
    for (size_t stage = 0; stage < stages.size(); ++stage) {
        pass.layer_end = stages[stage].layer;
        pass.check = true;
        pass.deviation = selector->deviation();
        const std::vector<int32_t> active = merge_rows(fresh, chosen);
        deviations.resize(active.size());
        if (Status status = run_pass(target, pass, active, {.deviations = deviations}); !status) {
            return status;
        }
        report.mend_row_layers += std::ssize(chosen) * (pass.layer_end - pass.layer_begin);
        const std::vector<float> deviation = pick(active, deviations, chosen);
        const std::vector<float> attended = at_rows(attention, chosen);
        const std::vector<float> weight = at_rows(weights, chosen);
        chosen = selector->choose(static_cast<int32_t>(stage),
                                  {.candidates = chosen,
                                   .deviation = deviation,
                                   .attention = attended,
                                   .n_passive = static_cast<int32_t>(rows.mendable.size()),
                                   .weights = weight});
        pass = {};
        pass.layer_begin = stages[stage].layer;
        pass.kv_ready = true;
    }
    report.check_us = stages.empty() && attention.empty() ? 0 : us_since(start);

    pass.layer_end = static_cast<int32_t>(slabs.size());
    report.mend_row_layers += std::ssize(chosen) * (pass.layer_end - pass.layer_begin);
    const std::vector<int32_t> active = merge_rows(fresh, chosen);
    if (Status status = run_pass(target, pass, active, {.logits = logits}); !status) return status;
    report.compute_us = us_since(start) - report.check_us;
    count_rows(rows, std::move(chosen), report);
    return {};
}

}  // namespace spolia
