#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "index/thread_annotations.h"
#include "index/token.h"

namespace spolia {

class SlotTable;

// A slot that is one request's alone, until this goes.
class SlotLease {
public:
    SlotLease(SlotLease&& other) noexcept;
    SlotLease& operator=(SlotLease&&) = delete;
    ~SlotLease();

    int32_t slot() const { return slot_; }
    // Leading tokens of the prompt that the slot held for the same tenant when it was taken.
    int32_t n_held() const { return n_held_; }
    // The slot held something of another tenant's, which must not be told apart from nothing.
    bool foreign() const { return foreign_; }
    // From here on the slot holds this prompt; without a call, nothing.
    void settle(std::vector<Token> prompt);

private:
    friend class SlotTable;
    SlotLease(SlotTable& table, int32_t slot, std::string tenant, int32_t n_held, bool foreign);

    SlotTable* table_;
    int32_t slot_;
    std::string tenant_;
    int32_t n_held_;
    bool foreign_;
    std::vector<Token> prompt_;
};

// Which slots of a llama-server are taken by requests of ours, and what the others were last given.
// Outlives its leases. Thread-safe.
class SlotTable {
public:
    explicit SlotTable(int32_t n_slots);

    // The idle slot that holds most of the prompt's beginning for this tenant; where several hold
    // as much, the one that was longest idle. Waits for one until the deadline.
    std::optional<SlotLease> take(std::span<const Token> prompt, std::string tenant,
                                  std::chrono::steady_clock::time_point deadline)
        EXCLUDES(mutex_);

    int32_t n_slots() const { return n_slots_; }
    int32_t n_taken() const EXCLUDES(mutex_);
    // The server lost what it had.
    void forget_all() EXCLUDES(mutex_);

private:
    friend class SlotLease;
    struct Slot {
        bool taken = false;
        uint64_t used = 0;  // when it was last given back, in uses
        std::string tenant;
        std::vector<Token> tokens;
    };

    Slot* best_idle(std::span<const Token> prompt, const std::string& tenant) REQUIRES(mutex_);
    void give_back(int32_t slot, std::string tenant, std::vector<Token> tokens) EXCLUDES(mutex_);

    const int32_t n_slots_;
    mutable Mutex mutex_;
    CondVar idle_;
    std::vector<Slot> slots_ GUARDED_BY(mutex_);
    uint64_t uses_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spolia
