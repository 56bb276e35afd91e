#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "broker/request.h"
#include "index/thread_annotations.h"

namespace spolia::test {

// Keeps what a generation's sink is told, and checks the order of events.
class RecordingSink final : public GenerateSink {
public:
    // Called on the engine thread, before the event is recorded.
    std::function<void()> when_started;
    std::function<void()> when_text;

    void on_start(const Receipt& receipt) override {
        if (when_started) when_started();
        MutexLock lock(mutex_);
        if (receipt_ || ended_) ++misplaced_;
        receipt_ = receipt;
    }
    void on_text(std::string text, Token) override {
        if (when_text) when_text();
        MutexLock lock(mutex_);
        if (!receipt_ || ended_ || text.empty()) ++misplaced_;
        text_ += text;
    }
    void on_done(const GenerateOutcome& outcome) override {
        MutexLock lock(mutex_);
        if (ended_) ++misplaced_;
        outcome_ = outcome;
        ended_ = true;
        changed_.notify_all();
    }
    void on_error(const Error& error) override {
        MutexLock lock(mutex_);
        if (ended_) ++misplaced_;
        error_ = error;
        ended_ = true;
        changed_.notify_all();
    }

    // False when the generation did not end within a minute.
    bool wait() {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
        MutexLock lock(mutex_);
        while (!ended_) {
            if (!changed_.wait_until(mutex_, deadline)) return ended_;
        }
        return true;
    }
    // The rest is for after wait().
    int misplaced_events() const { return get(misplaced_); }
    std::optional<Receipt> receipt() const { return get(receipt_); }
    std::string text() const { return get(text_); }
    std::optional<GenerateOutcome> outcome() const { return get(outcome_); }
    std::optional<Error> error() const { return get(error_); }

private:
    template <class T>
    T get(const T& member) const {
        MutexLock lock(mutex_);
        return member;
    }

    mutable Mutex mutex_;
    CondVar changed_;
    int misplaced_ = 0;
    std::optional<Receipt> receipt_;
    std::string text_;
    std::optional<GenerateOutcome> outcome_;
    std::optional<Error> error_;
    bool ended_ = false;
};

}  // namespace spolia::test
