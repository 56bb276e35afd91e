#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "index/result.h"
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
    // When it was taken, the slot might hold what must not become this prompt's cached prefix:
    // composed rows, or another tenant's (which how long an answer takes would tell of).
    bool must_clear() const { return must_clear_; }

    // Something is sent to the slot: unless settled, nobody knows what it holds when it is given
    // back. A slot that was not touched is as it was.
    void touch();
    // The same with composed rows. False, and nothing may be, while the server chooses slots.
    bool begin_fill();
    // When it is given back, the slot may hold this prompt; the first rows of it, if so, exactly.
    // The last call counts; without any, nobody knows what it holds.
    void settle(std::vector<Token> prompt, int32_t n_exact);
    // The same where it holds nothing, or what the server computed for this tenant and whose tokens
    // are not known.
    void settle_unseen();

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
    bool touched_ = false;
    bool settled_ = false;
};

// A request of which the server says which slot it takes, until it is answered. Nothing is composed
// into slots while there are any.
class SlotChoice {
public:
    SlotChoice(SlotChoice&& other) noexcept;
    SlotChoice& operator=(SlotChoice&&) = delete;
    ~SlotChoice();

    // From here on the server may put the request into any slot.
    void send() { sent_ = true; }

private:
    friend class SlotTable;
    SlotChoice(SlotTable& table, std::string tenant) : table_(&table), tenant_(std::move(tenant)) {}

    SlotTable* table_;
    std::string tenant_;
    bool sent_ = false;
};

// Which slots of a llama-server are taken by requests of ours, and what the others were last given.
// Outlives its leases and choices. Thread-safe.
class SlotTable {
public:
    using Time = std::chrono::steady_clock::time_point;

    explicit SlotTable(int32_t n_slots);

    // The idle slot that holds most exact rows of the prompt's beginning for this tenant; where
    // several hold as much, the one that was longest idle. Waits for one until the deadline, or a
    // stop.
    std::optional<SlotLease> take(std::span<const Token> prompt, std::string tenant, Time deadline,
                                  const std::stop_token& stop = {}) EXCLUDES(mutex_);

    // Announces a request for which the server chooses. Before it is sent, take_composed() has to
    // have brought nothing more.
    SlotChoice choose(std::string tenant) EXCLUDES(mutex_);
    // A slot that may hold composed rows, idle: waits for those that are busy. Nothing where there
    // is none any more; kOverloaded at the deadline, kCancelled after a stop.
    Result<std::optional<SlotLease>> take_composed(std::string tenant, Time deadline,
                                                   const std::stop_token& stop = {})
        EXCLUDES(mutex_);
    // An idle slot that may hold another tenant's rows; nothing where there is none, or where the
    // server may be using any slot for another request.
    std::optional<SlotLease> take_foreign(std::string tenant) EXCLUDES(mutex_);

    int32_t n_taken() const EXCLUDES(mutex_);
    // Requests that wait in take().
    int32_t n_waiting() const EXCLUDES(mutex_);
    // Something else may have filled slots: nobody knows what they hold.
    void forget_all() EXCLUDES(mutex_);

private:
    friend class SlotLease;
    friend class SlotChoice;
    struct Slot {
        bool taken = false;
        uint64_t used = 0;  // when it was last given back, in uses
        std::string tenant;
        std::vector<Token> tokens;  // none: nobody knows
        int32_t n_exact = 0;        // of the tokens, those whose rows are exact
        bool composed = true;       // may hold composed rows: at first, of one who was here before
        bool mixed = false;         // may hold rows of another tenant as well

        int32_t n_held(std::span<const Token> prompt, const std::string& whose) const;
        bool must_clear(const std::string& whose) const;
    };

    Slot* best_idle(std::span<const Token> prompt, const std::string& tenant) REQUIRES(mutex_);
    SlotLease lease(Slot& slot, std::span<const Token> prompt, std::string tenant) REQUIRES(mutex_);
    // False where a fill may not be.
    bool touch(const SlotLease& lease, bool fill) EXCLUDES(mutex_);
    void give_back(SlotLease& lease) EXCLUDES(mutex_);
    void end_choice(const SlotChoice& choice) EXCLUDES(mutex_);

    mutable Mutex mutex_;
    CondVar changed_;
    std::vector<Slot> slots_ GUARDED_BY(mutex_);
    uint64_t uses_ GUARDED_BY(mutex_) = 0;
    int32_t n_waiting_ GUARDED_BY(mutex_) = 0;
    int32_t n_choices_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spolia
