#include "broker/quality/figures.h"

#include <algorithm>
#include <numeric>

#include "broker/quality/measures.h"
#include "reuse/divergence.h"

namespace spolia {

Comparison compare(const QualityPrompt& prompt, const PromptRun& dense, const PromptRun& run) {
    const Agreement tokens = agreement(dense.tokens, run.tokens);
    return {.right = begins_with_answer(run.output, prompt.answer),
            .kl = kl_divergence(dense.logits, run.logits),
            .same_first = dense.tokens.front() == run.tokens.front(),
            .same_share = tokens.share,
            .same_answer = tokens.equal,
            .n_exact = run.report.n_exact,
            .n_reused = run.report.n_shifted,
            .n_recomputed = run.report.n_blended,
            .n_computed = run.report.n_computed,
            .mend_work_rows = run.mend_work_rows,
            .prefill_ms = run.prefill_ms,
            .dense_ms = dense.prefill_ms};
}

void Figures::add(const Comparison& comparison) {
    kl_.push_back(comparison.kl);
    each_prefill_ms_.push_back(comparison.prefill_ms);
    n_right_ += comparison.right;
    n_same_first_ += comparison.same_first;
    n_same_answer_ += comparison.same_answer;
    same_share_ += comparison.same_share;
    n_exact_ += comparison.n_exact;
    n_reused_ += comparison.n_reused;
    n_recomputed_ += comparison.n_recomputed;
    n_computed_ += comparison.n_computed;
    mend_work_rows_ += comparison.mend_work_rows;
    n_composed_ += comparison.n_reused + comparison.n_recomputed > 0;
    if (!comparison.refusal.empty()) ++refusals_[std::string(comparison.refusal)];
    prefill_ms_ += comparison.prefill_ms;
    dense_ms_ += comparison.dense_ms;
}

double Figures::kl_mean() const { return mean(std::accumulate(kl_.begin(), kl_.end(), 0.0)); }

double Figures::kl_percentile(double share) const { return percentile(kl_, share); }

double Figures::of_chunk_rows(double rows) const {
    const double n_chunk_rows = n_reused_ + n_recomputed_;
    return n_chunk_rows > 0 ? rows / n_chunk_rows : 0;
}

double Figures::reused_share() const {
    const double n_rows = n_exact_ + n_reused_ + n_recomputed_ + n_computed_;
    return n_rows > 0 ? n_reused_ / n_rows : 0;
}

void WayFigures::add(const QualityPrompt& prompt, const Comparison& comparison) {
    all.add(comparison);
    if (prompt.cross) cross.add(comparison);
    auto found = std::ranges::find(kinds, prompt.kind, &std::pair<std::string, Figures>::first);
    if (found == kinds.end()) found = kinds.insert(kinds.end(), {prompt.kind, Figures()});
    found->second.add(comparison);
}

WayFigures dense_way() {
    WayFigures way;
    way.policy = way.label = way.series = "dense";
    return way;
}

WayFigures composed_way(const PolicySetting& setting) {
    WayFigures way;
    way.policy = setting.params.policy;
    way.label = setting.label;
    way.guarded = setting.guarded;
    way.series = setting.series;
    way.values = setting.values;
    return way;
}

}  // namespace spolia
