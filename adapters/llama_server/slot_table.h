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
    // Leading tokens of the prompt whose exact rows the slot held, for the same tenant, when it was
    // taken.
    int32_t n_held() const { return n_held_; }
    // The slot holds more of the prompt, which the server would use if nothing else is put there:
    // composed rows, or another tenant's, which how long an answer takes must not tell of.
    bool must_clear() const { return must_clear_; }
    // From here on the slot holds this prompt, the first rows of it exactly; without a call,
    // nothing that can be counted on.
    void settle(std::vector<Token> prompt, int32_t n_exact);

private:
    friend class SlotTable;
    SlotLease(SlotTable& table, int32_t slot, std::string tenant, int32_t n_held, bool must_clear);

    SlotTable* table_;
    int32_t slot_;
    std::string tenant_;
    int32_t n_held_;
    bool must_clear_;
    std::vector<Token> prompt_;
    int32_t n_exact_ = 0;
};

// Which slots of a llama-server are taken by requests of ours, and what the others were last given.
// Outlives its leases. Thread-safe.
class SlotTable {
public:
    explicit SlotTable(int32_t n_slots);

    // The idle slot that holds most exact rows of the prompt's beginning for this tenant; where
    // several hold as much, the one that was longest idle. Waits for one until the deadline.
    std::optional<SlotLease> take(std::span<const Token> prompt, std::string tenant,
                                  std::chrono::steady_clock::time_point deadline) EXCLUDES(mutex_);

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
        int32_t n_exact = 0;  // of the tokens, those whose rows are exact

        int32_t n_held(std::span<const Token> prompt, const std::string& whose) const;
    };

    Slot* best_idle(std::span<const Token> prompt, const std::string& tenant) REQUIRES(mutex_);
    void give_back(SlotLease& lease) EXCLUDES(mutex_);

    const int32_t n_slots_;
    mutable Mutex mutex_;
    CondVar idle_;
    std::vector<Slot> slots_ GUARDED_BY(mutex_);
    uint64_t uses_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spolia
