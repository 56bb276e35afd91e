#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broker/service.h"
#include "index/thread_annotations.h"
#include "tests/unit/broker/fake_text_model.h"

namespace spolia::testing {

inline Receipt example_receipt() {
    Receipt receipt;
    receipt.policy = "cacheblend";
    receipt.fidelity = "fast";
    receipt.n_prompt = 100;
    receipt.n_exact = 10;
    receipt.n_shifted = 50;
    receipt.n_blended = 15;
    receipt.n_computed = 25;
    receipt.n_chunks = 3;
    receipt.n_chunks_hit = 2;
    receipt.misses = {{"first_sight", 20}};
    receipt.prompt_ms = 45;
    receipt.ttft_ms = 50;
    return receipt;
}

inline GenerateOutcome example_outcome(FinishReason finish = FinishReason::kStop) {
    GenerateOutcome outcome;
    outcome.finish = finish;
    outcome.n_generated = 4;
    outcome.decode_ms = 20;
    outcome.receipt = example_receipt();
    return outcome;
}

// One generation as a script sees it.
class Stage {
public:
    Stage(GenerateSink& events, const std::atomic<bool>& cancelled)
        : sink(events), cancelled_(cancelled) {}

    bool cancelled() const { return cancelled_; }
    // Waits for cancel(); gives up, so that a failing test ends.
    void wait_for_cancel() const {
        for (int i = 0; i < 10'000 && !cancelled_; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

    GenerateSink& sink;

private:
    const std::atomic<bool>& cancelled_;
};

using Script = std::function<void(Stage&)>;

inline Script say(std::vector<std::string> texts, FinishReason finish = FinishReason::kStop) {
    return [texts = std::move(texts), finish](Stage& stage) {
        stage.sink.on_start(example_receipt());
        for (const std::string& text : texts) stage.sink.on_text(text, 1);
        stage.sink.on_done(example_outcome(finish));
    };
}

// Runs a script for every generation, on a thread of its own.
class FakeService : public Service {
public:
    FakeService() {
        info_.name = "fake-model";
        info_.architecture = "fake";
        info_.n_vocab = text_.n_vocab();
    }
    ~FakeService() override { join(); }

    void set_script(Script script) {
        const MutexLock lock(mutex_);
        script_ = std::move(script);
    }
    void set_ready(bool ready) { ready_ = ready; }
    void refuse_with(Error error) {
        const MutexLock lock(mutex_);
        refusal_ = std::move(error);
    }

    // Ends all generations and waits for them.
    void join() {
        std::vector<std::thread> threads;
        {
            const MutexLock lock(mutex_);
            for (auto& flag : flags_) *flag = true;
            threads.swap(threads_);
        }
        for (std::thread& thread : threads) thread.join();
    }

    size_t n_submitted() const {
        const MutexLock lock(mutex_);
        return submitted_.size();
    }
    GenerateRequest submitted(size_t index) const {
        const MutexLock lock(mutex_);
        return submitted_.at(index);
    }
    std::vector<GenerationId> cancelled() const {
        const MutexLock lock(mutex_);
        return cancelled_;
    }
    // Waits until so many generations were cancelled; gives up, so that a failing test ends.
    bool wait_for_cancels(size_t count) const {
        for (int i = 0; i < 10'000; ++i) {
            if (cancelled().size() >= count) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return false;
    }

    const ModelInfo& model() const override { return info_; }
    const FakeTextModel& text() const override { return text_; }
    bool ready() const override { return ready_; }

    Result<GenerationId> submit(GenerateRequest request,
                                std::shared_ptr<GenerateSink> sink) override {
        const MutexLock lock(mutex_);
        if (refusal_.code != ErrorCode::kInternal) return refusal_;
        submitted_.push_back(std::move(request));
        const auto flag = std::make_shared<std::atomic<bool>>(false);
        flags_.push_back(flag);
        threads_.emplace_back([script = script_, sink = std::move(sink), flag] {
            Stage stage(*sink, *flag);
            script(stage);
        });
        return flags_.size() - 1;
    }

    void cancel(GenerationId id) override {
        const MutexLock lock(mutex_);
        cancelled_.push_back(id);
        *flags_.at(id) = true;
    }

    void put_chunk(std::string tenant, std::string name, std::string text,
                   std::function<void(Result<std::vector<ChunkInfo>>)> done) override {
        if (text == "refused") return done(Error{ErrorCode::kOverloaded, "the queue is full"});
        ChunkInfo info;
        info.key = hash_text(text);
        info.name = std::move(name);
        info.n_tokens = static_cast<int32_t>(text.size());
        info.encoded = true;
        info.tier = "ram";
        {
            const MutexLock lock(mutex_);
            chunks_[{std::move(tenant), info.key}] = info;
        }
        done(std::vector<ChunkInfo>{info});
    }

    void encode_text(std::string tenant, std::string text,
                     std::function<void(Result<std::vector<ChunkInfo>>)> done) override {
        if (text.starts_with("short")) return done(std::vector<ChunkInfo>());
        if (text.starts_with("unreadable")) return done(invalid("it can't be read"));
        put_chunk(std::move(tenant), "", std::move(text), std::move(done));
    }

    Result<ChunkInfo> get_chunk(const std::string& tenant, const Key128& key) const override {
        const MutexLock lock(mutex_);
        const auto found = chunks_.find({tenant, key});
        if (found == chunks_.end()) return Error{ErrorCode::kNotFound, "there is no such chunk"};
        return found->second;
    }

    std::vector<ChunkInfo> list_chunks(const std::string& tenant) const override {
        const MutexLock lock(mutex_);
        std::vector<ChunkInfo> list;
        for (const auto& [key, info] : chunks_) {
            if (key.first == tenant) list.push_back(info);
        }
        return list;
    }

    bool delete_chunk(const std::string& tenant, const Key128& key) override {
        const MutexLock lock(mutex_);
        return chunks_.erase({tenant, key}) > 0;
    }

    bool is_warm(const std::string& tenant, const std::string& text) const override {
        return get_chunk(tenant, hash_text(text)).ok();
    }

    Result<Receipt> receipt(const std::string& tenant, const std::string& id) const override {
        if (tenant == "team-b" || id != "chatcmpl-1") {
            return Error{ErrorCode::kNotFound, "there is no such receipt"};
        }
        return example_receipt();
    }

    void keep_rows(const std::string&, std::span<const Token>, const RowSource&) override {}

    Result<PlanPreview> plan(const GenerateRequest& request) const override {
        PlanPreview plan;
        const auto n_tokens = static_cast<int32_t>(request.prompt.tokens.size());
        plan.parts.push_back({SegmentRole::kQuery, {0, n_tokens}, "compute", "first_sight", {}});
        plan.policy = "dense";
        return plan;
    }
    ServiceStats stats() const override { return {}; }
    std::string metrics_text() const override { return "spolia_requests_total 1\n"; }

private:
    FakeTextModel text_;
    ModelInfo info_;
    std::atomic<bool> ready_ = true;

    mutable Mutex mutex_;
    Script script_ GUARDED_BY(mutex_) = say({"Hello", " world"});
    Error refusal_ GUARDED_BY(mutex_);  // kInternal: none
    std::vector<GenerateRequest> submitted_ GUARDED_BY(mutex_);
    std::vector<GenerationId> cancelled_ GUARDED_BY(mutex_);
    std::vector<std::shared_ptr<std::atomic<bool>>> flags_ GUARDED_BY(mutex_);
    std::vector<std::thread> threads_ GUARDED_BY(mutex_);
    std::map<std::pair<std::string, Key128>, ChunkInfo> chunks_ GUARDED_BY(mutex_);
};

}  // namespace spolia::testing
