#include "broker/core/scheduler.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace spolia {
namespace {

// How often to ask whether what is busy elsewhere still is.
constexpr std::chrono::milliseconds kLookElsewhere{50};

// At most an hour.
Clock::time_point later(Clock::time_point time, double ms) {
    constexpr double kMsMax = 3'600'000;
    return time + std::chrono::microseconds(static_cast<int64_t>(1e3 * std::min(ms, kMsMax)));
}

}  // namespace

Scheduler::Scheduler(Engine& engine, const TextModel& text, BlockStore& store,
                     ChunkRegistry& registry, CoreState& state, AnchorKeeper& anchors,
                     DonorKeeper& donors, Metrics& metrics, const ServiceOptions& options)
    : state_(state),
      anchors_(anchors),
      metrics_(metrics),
      options_(options),
      filler_(engine, store, state, anchors, options),
      running_(engine, text, state, anchors, metrics),
      background_(engine, store, registry, state, donors, metrics, options),
      shadows_(engine, store, state, anchors, metrics, options),
      thread_([this] { run(); }) {}

Scheduler::~Scheduler() { stop(); }

Result<GenerationId> Scheduler::submit(std::unique_ptr<Generation> generation) {
    MutexLock lock(mutex_);
    if (stopping_) return Error{ErrorCode::kCancelled, "the server is shutting down"};
    if (waiting_.size() >= options_.queue_max) {
        return Error{ErrorCode::kOverloaded,
                     std::to_string(waiting_.size()) + " requests are waiting; try again later"};
    }
    const GenerationId id = next_id_++;
    generation->id = id;
    waiting_.push_back(std::move(generation));
    wake_.notify_one();
    return id;
}

void Scheduler::cancel(GenerationId id) {
    MutexLock lock(mutex_);
    if (stopping_ || id >= next_id_ || cancels_.size() >= kCancelsMax) return;
    cancels_.insert(id);
    wake_.notify_one();
}

Status Scheduler::put(PutJob& job) {
    if (Status queued = background_.put(job); !queued) return queued;
    MutexLock lock(mutex_);
    put_arrived_ = true;
    wake_.notify_one();
    return {};
}

void Scheduler::stop() {
    {
        MutexLock lock(mutex_);
        stopping_ = true;
        wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
}

bool Scheduler::running() const {
    MutexLock lock(mutex_);
    return !stopping_;
}

size_t Scheduler::queue_depth() const {
    MutexLock lock(mutex_);
    return waiting_.size();
}

void Scheduler::run() {
    while (wait_for_work()) {
        process_cancels();
        const Clock::time_point begin = Clock::now();
        if (std::unique_ptr<Generation> generation = take_admissible()) {
            serve(std::move(generation));
        } else if (background_due()) {
            do_background();
            continue;
        } else if (shadow_due()) {
            do_shadow();
            continue;
        }
        running_.step();
        earn_background(ms_between(begin, Clock::now()));
    }
    end_all();
}

bool Scheduler::wait_for_work() {
    const bool rests = background_rests();
    const bool busy = !running_.empty() || (background_.has_work() && !rests);
    if (!busy) anchors_.save(false);
    std::optional<Clock::time_point> next;
    if (rests || (busy_elsewhere() && !shadows_.empty())) {
        next = Clock::now() + kLookElsewhere;
    } else if (!shadows_.empty()) {
        next = next_shadow_at_;
    }
    MutexLock lock(mutex_);
    while (!busy && !stopping_ && waiting_.empty() && cancels_.empty() && !put_arrived_) {
        if (!next) {
            wake_.wait(mutex_);
        } else if (!wake_.wait_until(mutex_, *next)) {
            break;
        }
    }
    put_arrived_ = false;
    return !stopping_;
}

void Scheduler::process_cancels() {
    std::set<GenerationId> cancels;
    {
        MutexLock lock(mutex_);
        cancels.swap(cancels_);
    }
    for (const GenerationId id : cancels) {
        if (id == filling_) {
            filling_cancelled_ = true;
        } else if (std::unique_ptr<Generation> generation = take_waiting(id)) {
            end_unstarted(*generation, FinishReason::kCancelled);
        } else {
            running_.cancel(id);
        }
    }
}

std::unique_ptr<Generation> Scheduler::take_waiting(GenerationId id) {
    MutexLock lock(mutex_);
    const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                    [&](const auto& generation) { return generation->id == id; });
    if (found == waiting_.end()) return nullptr;
    std::unique_ptr<Generation> generation = std::move(*found);
    waiting_.erase(found);
    return generation;
}

std::unique_ptr<Generation> Scheduler::take_admissible() {
    if (!has_idle_sequence()) return nullptr;
    MutexLock lock(mutex_);
    if (waiting_.empty()) return nullptr;
    std::unique_ptr<Generation> generation = std::move(waiting_.front());
    waiting_.pop_front();
    return generation;
}

void Scheduler::serve(std::unique_ptr<Generation> generation) {
    filling_ = generation->id;
    filling_cancelled_ = false;
    Clock::time_point batch_begin = Clock::now();
    const Result<PromptFiller::Outcome> filled =
        filler_.fill(*generation, [&] { return tick(batch_begin); });
    filling_ = 0;
    if (filled && *filled == PromptFiller::Outcome::kDeclined) {
        shadows_.offer(*generation);
        end_unstarted(*generation, FinishReason::kDeclined);
    } else if (filled) {
        shadows_.offer(*generation);
        running_.start(std::move(generation));
    } else if (filled.error().code == ErrorCode::kCancelled) {
        end_unstarted(*generation, FinishReason::kCancelled);
    } else {
        metrics_.request_failed(filled.error().code);
        generation->sink->on_error(filled.error());
    }
}

bool Scheduler::tick(Clock::time_point& batch_begin) {
    process_cancels();
    if (filling_cancelled_ || !running()) return false;
    running_.run_for(ms_between(batch_begin, Clock::now()) * options_.decode_share);
    batch_begin = Clock::now();
    return true;
}

bool Scheduler::busy_elsewhere() const {
    return options_.busy_elsewhere && options_.busy_elsewhere();
}

bool Scheduler::background_rests() const {
    return running_.empty() && background_.has_work() && !background_.has_puts() &&
           Clock::now() < next_background_at_ && busy_elsewhere();
}

bool Scheduler::background_due() const {
    if (background_rests()) return false;
    if (running_.empty() || background_.has_puts()) return background_.has_work();
    return options_.background_share > 0 && background_credit_ms_ >= 0 && background_.has_work();
}

void Scheduler::do_background() {
    const Clock::time_point begin = Clock::now();
    background_.step([this] { return !holds_up(); });
    const double ms = ms_between(begin, Clock::now());
    if (options_.background_share > 0) {
        next_background_at_ = later(Clock::now(), ms * (1 / options_.background_share - 1));
    }
    if (running_.empty()) return;
    background_credit_ms_ -= ms;
    running_.run_for(ms * options_.decode_share);
}

void Scheduler::earn_background(double busy_ms) {
    background_credit_ms_ =
        std::min(0.0, background_credit_ms_ + busy_ms * options_.background_share);
}

bool Scheduler::shadow_due() const {
    return running_.empty() && !shadows_.empty() && Clock::now() >= next_shadow_at_ &&
           !busy_elsewhere();
}

void Scheduler::do_shadow() {
    const Clock::time_point begin = Clock::now();
    shadows_.step([this] { return !wanted(); });
    const Clock::time_point end = Clock::now();
    next_shadow_at_ = later(end, ms_between(begin, end) * (1 / options_.shadow_time - 1));
}

bool Scheduler::wanted() const {
    MutexLock lock(mutex_);
    return stopping_ || put_arrived_ || !waiting_.empty();
}

bool Scheduler::has_idle_sequence() const {
    MutexLock lock(state_.mutex);
    return state_.sequences.n_busy() < state_.sequences.size();
}

bool Scheduler::holds_up() const {
    const bool idle = has_idle_sequence();
    MutexLock lock(mutex_);
    return stopping_ || (idle && !waiting_.empty());
}

void Scheduler::end_unstarted(Generation& generation, FinishReason reason) {
    generation.receipt.n_prompt = static_cast<int32_t>(generation.prompt.tokens.size());
    generation.receipt.fidelity = to_string(generation.prompt.policy.fidelity);
    GenerateOutcome outcome;
    outcome.finish = reason;
    outcome.receipt = generation.receipt;
    metrics_.request_done(outcome);
    generation.sink->on_done(outcome);
}

void Scheduler::end_all() {
    std::deque<std::unique_ptr<Generation>> waiting;
    {
        MutexLock lock(mutex_);
        waiting.swap(waiting_);
    }
    running_.cancel_all();
    for (const auto& generation : waiting) end_unstarted(*generation, FinishReason::kCancelled);
    background_.stop();
    shadows_.save();
    anchors_.save(true);
}

}  // namespace spolia
