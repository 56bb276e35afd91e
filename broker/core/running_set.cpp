#include "broker/core/running_set.h"

#include <algorithm>
#include <string>
#include <utility>

namespace spolia {

namespace {

class RowsInPlace final : public RowSource {
public:
    RowsInPlace(const Engine& engine, const Generation& generation)
        : engine_(engine), generation_(generation) {}
    int32_t n_rows() const override {
        return static_cast<int32_t>(generation_.prompt.tokens.size());
    }
    Status copy(int32_t layer, int32_t begin, std::span<uint16_t> k,
                std::span<uint16_t> v) const override {
        return engine_.read_rows(generation_.sequence, layer, begin, k, v);
    }

private:
    const Engine& engine_;
    const Generation& generation_;
};

}  // namespace

void RunningSet::start(std::unique_ptr<Generation> generation) {
    Generation& started = *generation;
    std::optional<Token> first;
    if (started.tokens_max != 0) {
        first = started.sampler->sample(engine_.logits(started.sequence));
    }
    started.first_token_at = Clock::now();
    started.receipt.ttft_ms = ms_between(started.submitted, started.first_token_at);
    metrics_.request_started(started.receipt);
    {
        MutexLock lock(state_.mutex);
        state_.receipts.add(started.prompt.tenant, started.request_id, started.receipt);
    }
    if (started.handover) started.sink->on_rows(RowsInPlace(engine_, started));
    started.sink->on_start(started.receipt);
    const std::optional<FinishReason> ended =
        first ? take(started, *first) : std::optional(FinishReason::kLength);
    // Behind the first token, which need not wait for it.
    anchors_.keep_prompt(started);
    if (ended) {
        finish(started, *ended);
    } else {
        running_.push_back(std::move(generation));
    }
}

void RunningSet::step() {
    if (running_.empty()) return;
    std::vector<DecodeItem> items;
    for (const auto& generation : running_) {
        items.push_back({generation->sequence, generation->last_token});
    }
    if (Status decoded = engine_.decode(items); !decoded) {
        fail_all(decoded.error());
        return;
    }
    {
        MutexLock lock(state_.mutex);
        for (const DecodeItem& item : items) state_.sequences.append(item.sequence, item.token);
    }
    std::erase_if(running_, [this](const std::unique_ptr<Generation>& generation) {
        const std::optional<FinishReason> ended = sample(*generation);
        if (ended) finish(*generation, *ended);
        return ended.has_value();
    });
}

void RunningSet::run_for(double ms) {
    const Clock::time_point begin = Clock::now();
    for (int i = 0; i < kSliceSteps && !empty(); ++i) {
        step();
        if (ms_between(begin, Clock::now()) >= ms) break;
    }
}

bool RunningSet::cancel(GenerationId id) {
    const auto found = std::find_if(running_.begin(), running_.end(),
                                    [&](const auto& generation) { return generation->id == id; });
    if (found == running_.end()) return false;
    const std::unique_ptr<Generation> generation = std::move(*found);
    running_.erase(found);
    finish(*generation, FinishReason::kCancelled);
    return true;
}

void RunningSet::cancel_all() {
    for (const auto& generation : std::exchange(running_, {})) {
        finish(*generation, FinishReason::kCancelled);
    }
}

std::optional<FinishReason> RunningSet::sample(Generation& generation) {
    return take(generation, generation.sampler->sample(engine_.logits(generation.sequence)));
}

std::optional<FinishReason> RunningSet::take(Generation& generation, Token token) {
    generation.last_token = token;
    ++generation.n_generated;
    if (text_.is_end(token) && !generation.ignore_end) return FinishReason::kStop;
    std::string text = generation.text.push(text_.piece(token));
    if (!text.empty()) generation.sink->on_text(std::move(text), token);
    if (generation.text.stopped()) return FinishReason::kStop;
    if (generation.n_generated == generation.tokens_max) return FinishReason::kLength;
    if (context_full(generation)) return FinishReason::kLength;
    return std::nullopt;
}

bool RunningSet::context_full(const Generation& generation) const {
    MutexLock lock(state_.mutex);
    return state_.sequences.n_rows(generation.sequence) >= engine_.limits().n_ctx;
}

void RunningSet::finish(Generation& generation, FinishReason reason) {
    std::string rest = generation.text.finish();
    if (!rest.empty()) generation.sink->on_text(std::move(rest), generation.last_token);
    const double decode_ms = ms_between(generation.first_token_at, Clock::now());
    if (reason != FinishReason::kCancelled) anchors_.keep_answer(generation);
    {
        // Before the sink hears of it: whoever continues at once finds the sequence idle.
        MutexLock lock(state_.mutex);
        state_.sequences.release(generation.sequence);
    }
    const GenerateOutcome outcome{
        .finish = reason,
        .stop_word = generation.text.stop_word(),
        .n_generated = generation.n_generated,
        .decode_ms = decode_ms,
        .receipt = generation.receipt,
    };
    metrics_.request_done(outcome);
    generation.sink->on_done(outcome);
}

void RunningSet::fail_all(const Error& error) {
    for (const auto& generation : std::exchange(running_, {})) {
        engine_.truncate(generation->sequence, 0);
        {
            MutexLock lock(state_.mutex);
            state_.sequences.clear(generation->sequence);
        }
        metrics_.request_failed(error.code);
        generation->sink->on_error(error);
    }
}

}  // namespace spolia
