#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "adapters/text_model.h"
#include "broker/core/donor_index.h"
#include "broker/core/residence.h"
#include "broker/service.h"
#include "index/fingerprint.h"
#include "index/segment.h"
#include "index/thread_annotations.h"
#include "index/token.h"
#include "reuse/block_store.h"

namespace spolia {

// Keeps a DonorIndex to what a BlockStore holds, over restarts: on a thread of its own it opens
// the index, adds the blocks that have no vector, removes the vectors that have no block, and
// saves. Until it is open nothing is found. Any thread.
class DonorKeeper {
public:
    // Vectors are kept in `file`; empty: nowhere. Borrows the others.
    DonorKeeper(const TextModel& text, const Key128& model, const BlockStore& store,
                const DonorOptions& options, std::filesystem::path file);
    // Saves.
    ~DonorKeeper();
    DonorKeeper(const DonorKeeper&) = delete;
    DonorKeeper& operator=(const DonorKeeper&) = delete;

    // See DonorIndex.
    std::vector<Donor> find(const std::string& tenant, std::span<const Token> prompt,
                            std::span<const Segment> segments, const FindResidence& find)
        EXCLUDES(mutex_);
    // The block of a chunk came or went. Known when this returns, but where others are waiting.
    void block_changed(const Key128& scope, const Key128& key) EXCLUDES(mutex_);
    // Waits until the index has what the store had when this was called, and nothing else.
    void settle() EXCLUDES(mutex_);
    DonorStats stats() const EXCLUDES(mutex_);

private:
    using Clock = std::chrono::steady_clock;
    // Reports that wait beside texts_max. When there are more the whole store is compared.
    static constexpr size_t kReportsMax = 4096;
    // Blocks that the store evicts are noticed that often, or when a search comes upon them.
    static constexpr std::chrono::seconds kSweepEvery{10};
    // Changes that are worth writing the file: an eighth of it, and these.
    static constexpr size_t kUnsavedMin = 64;

    struct Report {
        Key128 key;
        Key128 scope;  // Key128{}: as the block says
    };
    enum class Step : uint8_t { kOpen, kCompare, kReview, kSweep, kStop };

    void run();
    Step next_step(Report& report) EXCLUDES(mutex_);
    void open();
    void compare() EXCLUDES(mutex_);
    void review(const Report& report);
    void sweep() EXCLUDES(mutex_);
    void save();
    void report(const Report& report) EXCLUDES(mutex_);
    std::optional<Key128> scope_of(const BlockMeta& meta) const;
    uint64_t n_gone() const;

    const TextModel& text_;
    const Key128 model_;
    const BlockStore& store_;
    const DonorOptions options_;
    const std::filesystem::path file_;

    std::unique_ptr<DonorIndex> index_;
    std::atomic<DonorIndex*> open_{nullptr};  // index_, once it is there
    std::atomic<size_t> n_unsaved_{0};
    // The thread's own.
    uint64_t n_gone_seen_ = 0;
    bool save_failed_ = false;

    mutable Mutex mutex_;
    CondVar wake_;     // the thread
    CondVar settled_;  // n_settled_ changed
    std::deque<Report> reports_ GUARDED_BY(mutex_);
    bool opened_ GUARDED_BY(mutex_) = false;
    bool compare_ GUARDED_BY(mutex_) = true;
    bool busy_ GUARDED_BY(mutex_) = false;
    uint64_t n_settles_ GUARDED_BY(mutex_) = 0;
    uint64_t n_settled_ GUARDED_BY(mutex_) = 0;
    Clock::time_point next_sweep_ GUARDED_BY(mutex_) = Clock::now() + kSweepEvery;
    std::atomic<bool> stop_{false};

    std::thread thread_;  // not there where donors are turned off
};

}  // namespace spolia
