#include "broker/core/shadow_runs.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "broker/core/guard_file.h"
#include "broker/core/guarded_plan.h"
#include "broker/log.h"

namespace spolia {
ShadowRuns::ShadowRuns(Engine& engine, BlockStore& store, CoreState& state, AnchorKeeper& anchors,
                       Metrics& metrics, const ServiceOptions& options)
    : engine_(engine),
      store_(store),
      state_(state),
      anchors_(anchors),
      metrics_(metrics),
      options_(options),
      file_(guard_file(options.store.directory, engine.info().fingerprint)) {}

bool ShadowRuns::by_chance() {
    return std::uniform_real_distribution<>(0, 1)(random_) < options_.shadow_share;
}

std::vector<size_t> ShadowRuns::wanted_rungs(const Generation& generation) {
    const GuardTrace& trace = generation.guard_trace;
    const ReusePolicy& policy = generation.prompt.policy;
    const bool chosen = by_chance();
    std::vector<size_t> wanted;
    const auto learning = [&](size_t i) REQUIRES(state_.mutex) {
        return chosen || state_.guard.learning(policy.ladder[i].label);
    };
    MutexLock lock(state_.mutex);
    for (size_t i = trace.served.value_or(trace.rungs.size()); i-- > 0;) {
        if (learning(i)) wanted.push_back(i);
    }
    if (!trace.served) return wanted;
    const bool proving = state_.guard.proving(policy.ladder[*trace.served].label);
    if (chosen || proving || !wanted.empty()) wanted.push_back(*trace.served);
    return wanted;
}

void ShadowRuns::offer(Generation& generation) {
    if (generation.guard_trace.rungs.empty() || options_.shadow_time <= 0) return;
    std::vector<size_t> wanted = wanted_rungs(generation);
    if (wanted.empty()) return;
    std::span<const float> logits;
    if (generation.sequence >= 0) logits = engine_.logits(generation.sequence);
    PreparedPrompt& prompt = generation.prompt;
    push({.request_id = generation.request_id,
          .tenant = prompt.tenant,
          .tokens = prompt.tokens,
          .segments = prompt.segments,
          .chunks = prompt.chunks,
          .outline = std::move(prompt.outline),
          .budget = prompt.policy.budget,
          .ladder = std::move(prompt.policy.ladder),
          .trace = std::move(generation.guard_trace),
          .wanted = std::move(wanted),
          .logits = {logits.begin(), logits.end()}});
}

// What was served goes before what is to be learned: a broken promise is the worse of the two.
void ShadowRuns::push(Job job) {
    const bool served = job.trace.served.has_value();
    if (jobs_.size() >= options_.shadow_queue_max) {
        metrics_.shadow_ended("dropped");
        if (!served || jobs_.empty() || jobs_.back().trace.served) return;
        jobs_.pop_back();
    }
    const auto place = served ? std::ranges::find_if(
                                    jobs_, [](const Job& waiting) { return !waiting.trace.served; })
                              : jobs_.end();
    jobs_.insert(place, std::move(job));
    n_jobs_ = jobs_.size();
}

void ShadowRuns::step(const PrefillTick& tick) {
    Job& job = jobs_.front();
    Result<std::vector<float>> logits = compute(job, job.trace.rungs[job.wanted.back()], tick);
    if (logits.ok() && job.logits.empty()) {
        job.attempts = 0;
        job.logits = *std::move(logits);
        return;
    }
    if (logits.ok()) {
        learn(job, *std::move(logits));
    } else if (logits.error().code == ErrorCode::kCancelled && ++job.attempts < kAttemptsMax) {
        return metrics_.shadow_ended("cancelled");
    } else {
        metrics_.shadow_ended(logits.error().code == ErrorCode::kCancelled  ? "dropped"
                              : logits.error().code == ErrorCode::kNotFound ? "unavailable"
                                                                            : "failed");
        // Without dense logits, what it was served with says nothing about other rungs.
        if (job.trace.served || job.logits.empty()) job.wanted = {job.wanted.back()};
    }
    finish_rung();
    if (n_unsaved_ >= kUnsavedMax) save();
}

void ShadowRuns::finish_rung() {
    Job& job = jobs_.front();
    job.attempts = 0;
    job.wanted.pop_back();
    if (job.wanted.empty()) jobs_.pop_front();
    n_jobs_ = jobs_.size();
}

Result<std::vector<float>> ShadowRuns::compute(const Job& job, const RungTrace& rung,
                                               const PrefillTick& tick) {
    PrefillPlan plan{.tokens = job.tokens, .blocks = {}, .outline = &job.outline};
    if (job.trace.served || job.logits.empty()) return prefill(job, plan, tick);
    std::vector<BlockPin> pins;
    std::vector<PlacedBlock> blocks;
    for (const PlannedBlock& block : rung.blocks) {
        if (block.anchored() && !anchors_.holds(block.key, block.depth)) {
            return Error{ErrorCode::kNotFound, "an anchor of the prompt is another one now"};
        }
        BlockPin held = store_.find(block.key, tokens_of(block, job.tokens));
        if (!held) return Error{ErrorCode::kNotFound, "a block of the prompt is gone"};
        blocks.push_back(placed_block(block, *held));
        pins.push_back(std::move(held));
    }
    plan.blocks = blocks;
    if (rung.mend) plan.selector = job.ladder[job.wanted.back()].selector.get();
    return prefill(job, plan, tick);
}

// Rows in front of the composed ones are computed densely, as if they had been kept.
Result<std::vector<float>> ShadowRuns::prefill(const Job& job, PrefillPlan plan,
                                               const PrefillTick& tick) {
    {
        MutexLock lock(state_.mutex);
        const auto match = state_.sequences.least_wanted(job.tokens, job.tenant);
        if (!match) return Error{ErrorCode::kCancelled, "no sequence is idle"};
        const auto last_row = static_cast<int32_t>(job.tokens.size()) - 1;
        plan.sequence = match->sequence;
        plan.n_keep =
            std::min(match->n_exact, plan.blocks.empty() ? last_row : plan.blocks.front().row);
        state_.sequences.begin(plan.sequence, job.tenant, plan.n_keep);
    }
    const Result<PrefillReport> report = engine_.prefill(plan, tick);
    std::vector<float> logits;
    if (report.ok()) {
        const std::span<const float> last = engine_.logits(plan.sequence);
        logits.assign(last.begin(), last.end());
        if (plan.blocks.empty() && !job.chunks.empty()) {
            anchors_.keep_shadow(plan.sequence, job.tokens, job.segments, job.chunks);
        }
    }
    engine_.truncate(plan.sequence, 0);
    MutexLock lock(state_.mutex);
    state_.sequences.clear(plan.sequence);
    if (!report.ok()) return report.error();
    return logits;
}

void ShadowRuns::learn(Job& job, std::vector<float> logits) {
    const size_t rung = job.wanted.back();
    const bool served = job.trace.served.has_value();
    // Whichever way the request went, from here on the job has the dense logits.
    if (served) std::swap(job.logits, logits);
    job.trace.served.reset();
    const GuardSample sample =
        compare_first_token(job.trace.rungs[rung].risk, job.tokens, job.logits, logits);
    metrics_.shadow_compared(sample.kl);
    ++n_unsaved_;
    const GuardChange change =
        served ? learn_of_served(job, rung, sample) : observe(job, rung, sample);
    if (change != GuardChange::kNone) reach_changed(job, rung);
    if (change == GuardChange::kDemotion) save();
}

// Other requests reach the rungs behind this one now than those that wait here. Jobs whose ladder
// has a rung of the same label have the same ladder.
void ShadowRuns::reach_changed(const Job& changed, size_t rung) {
    const std::string& label = changed.ladder[rung].label;
    for (Job& job : jobs_) {
        if (rung >= job.ladder.size() || job.ladder[rung].label != label) continue;
        std::erase_if(job.wanted, [&](size_t wanted) { return wanted > rung; });
    }
    {
        MutexLock lock(state_.mutex);
        restart_dearer(state_.guard, changed.ladder, rung);
    }
    // The one in front is at work.
    const auto waiting = std::next(jobs_.begin());
    jobs_.erase(
        std::remove_if(waiting, jobs_.end(), [](const Job& job) { return job.wanted.empty(); }),
        jobs_.end());
}

GuardChange ShadowRuns::observe(const Job& job, size_t rung, const GuardSample& sample) {
    MutexLock lock(state_.mutex);
    return state_.guard.observe(job.ladder[rung].label, sample);
}

GuardChange ShadowRuns::learn_of_served(const Job& job, size_t rung, const GuardSample& sample) {
    if (is_over(sample.kl, job.budget) || !sample.same_first) {
        suspect(job, job.trace.rungs[rung]);
    }
    const std::string& label = job.ladder[rung].label;
    GuardChange change = GuardChange::kNone;
    {
        MutexLock lock(state_.mutex);
        change = state_.guard.observe_served(label, sample, job.budget);
        state_.receipts.measured(job.tenant, job.request_id, sample.kl, sample.same_first);
    }
    if (change != GuardChange::kDemotion) return change;
    metrics_.guard_demoted();
    log_event(LogLevel::kWarning,
              "answers differ more than the budget allows: not served so until calibrated anew",
              {{"rung", std::string_view(label)}, {"kl", sample.kl}});
    renew_suspects();
    return change;
}

void ShadowRuns::suspect(const Job& job, const RungTrace& rung) {
    for (const PlannedBlock& block : rung.blocks) {
        auto tokens = tokens_of(block, job.tokens);
        if (block.anchored()) tokens = {};
        suspects_.push_back({block.key, {tokens.begin(), tokens.end()}});
        if (suspects_.size() > kSuspectsMax) suspects_.pop_front();
    }
}

// A block may hold what it should not, and still pass every check of its file. The ones under the
// answers that went wrong are made anew, which is cheap beside what a bad one costs. Anchors come
// anew with the next prompts.
void ShadowRuns::renew_suspects() {
    std::vector<Key128> anchors;
    for (const Suspect& block : suspects_) {
        if (block.tokens.empty()) {
            anchors.push_back(block.key);
            continue;
        }
        const std::optional<BlockMeta> meta = store_.meta(block.key);
        if (!meta || !store_.erase(block.key)) continue;
        MutexLock lock(state_.mutex);
        state_.encode_queue.add(meta->left_context, block.key, block.tokens);
    }
    anchors_.forget(anchors);
    suspects_.clear();
}

void ShadowRuns::save() {
    if (file_.empty() || n_unsaved_ == 0) return;
    n_unsaved_ = 0;
    std::vector<RungRecord> records;
    {
        MutexLock lock(state_.mutex);
        records = state_.guard.records();
    }
    if (const Status saved =
            write_guard_file(file_, engine_.info().fingerprint, options_.reuse.budget, records);
        !saved) {
        log_event(LogLevel::kWarning, saved.error().message);
    }
}

}  // namespace spolia
