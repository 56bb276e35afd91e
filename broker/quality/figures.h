#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/quality/policy_setting.h"
#include "broker/quality/prompt_runner.h"

namespace spolia {

// One prompt computed in one way, against its dense run.
struct Comparison {
    bool right = false;       // the answer is the task's
    double kl = 0;            // KL(dense || this way) of the first token, nats
    bool same_first = false;  // the greedy first token is dense's
    double same_share = 0;    // of dense's greedy tokens, those before the first difference
    bool same_answer = false;
    int32_t n_exact = 0;
    int32_t n_reused = 0;      // rows from blocks, as they were but rotated
    int32_t n_recomputed = 0;  // rows under blocks, recomputed
    int32_t n_computed = 0;    // rows in no block
    // Of a guarded prompt that ran dense: why. Its chunks' rows count as computed.
    std::string_view refusal = {};
    double mend_work_rows = 0;  // see PromptRun
    double prefill_ms = 0;
    double dense_ms = 0;
};

Comparison compare(const QualityPrompt& prompt, const PromptRun& dense, const PromptRun& run);

// Gathers comparisons of one way. Means and shares are 0 while there are none.
class Figures {
public:
    void add(const Comparison& comparison);

    // Prompts with rows from blocks.
    int32_t n_composed() const { return n_composed_; }
    int32_t n() const { return static_cast<int32_t>(kl_.size()); }
    double accuracy() const { return mean(n_right_); }
    double kl_mean() const;
    double kl_percentile(double share) const;
    double top1() const { return mean(n_same_first_); }
    double same_tokens() const { return mean(same_share_); }
    double same_answers() const { return mean(n_same_answer_); }
    double rows_exact() const { return mean(n_exact_); }
    double rows_reused() const { return mean(n_reused_); }
    double rows_recomputed() const { return mean(n_recomputed_); }
    double rows_computed() const { return mean(n_computed_); }
    // Of all rows under blocks, those recomputed.
    double recomputed_share() const { return of_chunk_rows(n_recomputed_); }
    // Of the work of computing all rows under blocks, that done. More than the share of rows where
    // a policy has check layers.
    double mend_work_share() const { return of_chunk_rows(mend_work_rows_); }
    // Time of all prefills over the dense prefills' of the same prompts.
    double time_share() const { return dense_ms_ > 0 ? prefill_ms_ / dense_ms_ : 0; }
    // Of all rows, those from blocks as they were.
    double reused_share() const;
    // Prompts that ran dense, by what the guard said.
    const std::map<std::string, int32_t, std::less<>>& refusals() const { return refusals_; }
    const std::vector<double>& prefill_ms() const { return each_prefill_ms_; }

private:
    double mean(double sum) const { return kl_.empty() ? 0 : sum / n(); }
    double of_chunk_rows(double rows) const;

    std::vector<double> kl_;
    std::vector<double> each_prefill_ms_;
    std::map<std::string, int32_t, std::less<>> refusals_;
    int32_t n_composed_ = 0;
    double n_right_ = 0, n_same_first_ = 0, n_same_answer_ = 0, same_share_ = 0;
    double n_exact_ = 0, n_reused_ = 0, n_recomputed_ = 0, n_computed_ = 0, mend_work_rows_ = 0;
    double prefill_ms_ = 0, dense_ms_ = 0;
};

// All that was measured of one way of computing.
struct WayFigures {
    std::string policy;  // a selector's name, or "dense"
    std::string label;   // these as in PolicySetting
    std::string series;
    std::vector<std::pair<std::string, std::string>> values;
    Figures all;
    Figures cross;                                       // questions that no chunk alone answers
    std::vector<std::pair<std::string, Figures>> kinds;  // in the order of the tasks

    bool guarded = false;

    bool dense() const { return policy == "dense"; }
    void add(const QualityPrompt& prompt, const Comparison& comparison);
};

// Nothing measured yet.
WayFigures dense_way();
WayFigures composed_way(const PolicySetting& setting);

}  // namespace spolia
