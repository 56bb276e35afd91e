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
    const std::string& tenant() const { return tenant_; }
    // Leading tokens of the prompt whose exact rows the slot held, for the same tenant, when it was
    // taken.
    int32_t n_held() const { return n_held_; }
    // The slot holds what must not become this prompt's cached prefix: composed rows, another
    // tenant's (which how long an answer takes would tell of), or nobody knows what.
    bool must_clear() const { return must_clear_; }
    // When it is given back, the slot may hold this prompt; the first rows of it, if so, exactly.
    // The last call counts; without any, nobody knows what it holds.
    void settle(std::vector<Token> prompt, int32_t n_exact);
    // The same of a prompt that the server computed and whose tokens are not known.
    void settle_unseen() { settled_ = true; }

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
    bool settled_ = false;
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

    int32_t n_taken() const EXCLUDES(mutex_);
    // Requests that wait in take().
    int32_t n_waiting() const EXCLUDES(mutex_);
    // Something else may have taken slots: nobody knows what they hold.
    void forget_all() EXCLUDES(mutex_);

private:
    friend class SlotLease;
    struct Slot {
        bool taken = false;
        bool known = false;  // what it holds: `tokens`, or, without any, something of the tenant's
        uint64_t used = 0;   // when it was last given back, in uses
        std::string tenant;
        std::vector<Token> tokens;
        int32_t n_exact = 0;  // of the tokens, those whose rows are exact

        int32_t n_held(std::span<const Token> prompt, const std::string& whose) const;
        bool must_clear(const std::string& whose) const;
    };

    Slot* best_idle(std::span<const Token> prompt, const std::string& tenant) REQUIRES(mutex_);
    void give_back(SlotLease& lease) EXCLUDES(mutex_);

    mutable Mutex mutex_;
    CondVar idle_;
    std::vector<Slot> slots_ GUARDED_BY(mutex_);
    uint64_t uses_ GUARDED_BY(mutex_) = 0;
    int32_t n_waiting_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spolia
