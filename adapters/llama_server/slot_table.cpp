#include "adapters/llama_server/slot_table.h"

#include <algorithm>
#include <utility>

namespace spolia {
namespace {

// Of a prompt, as llama-server's own --slot-prompt-similarity is.
constexpr size_t kShareLeast = 10;

int32_t common_prefix(std::span<const Token> a, std::span<const Token> b) {
    return static_cast<int32_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// Has a waiting thread look whether it is to stop. The lock is taken so that it can't do so just
// before it waits.
auto waking(Mutex& mutex, CondVar& changed) {
    return [&mutex, &changed] {
        { const MutexLock lock(mutex); }
        changed.notify_all();
    };
}

}  // namespace

SlotLease::SlotLease(SlotTable& table, int32_t slot, std::string tenant, int32_t n_held,
                     bool must_clear)
    : table_(&table),
      slot_(slot),
      tenant_(std::move(tenant)),
      n_held_(n_held),
      must_clear_(must_clear) {}

SlotLease::SlotLease(SlotLease&& other) noexcept
    : table_(std::exchange(other.table_, nullptr)),
      slot_(other.slot_),
      tenant_(std::move(other.tenant_)),
      n_held_(other.n_held_),
      must_clear_(other.must_clear_),
      prompt_(std::move(other.prompt_)),
      n_exact_(other.n_exact_),
      touched_(other.touched_),
      settled_(other.settled_) {}

SlotLease::~SlotLease() {
    if (table_ != nullptr) table_->give_back(*this);
}

void SlotLease::touch() {
    touched_ = true;
    table_->touch(*this, false);
}

bool SlotLease::begin_fill() {
    const bool may = table_->touch(*this, true);
    touched_ = touched_ || may;
    return may;
}

void SlotLease::settle(std::vector<Token> prompt, int32_t n_exact) {
    prompt_ = std::move(prompt);
    n_exact_ = n_exact;
    settled_ = true;
}

void SlotLease::settle_unseen() { settle({}, 0); }

SlotChoice::SlotChoice(SlotChoice&& other) noexcept
    : table_(std::exchange(other.table_, nullptr)),
      tenant_(std::move(other.tenant_)),
      sent_(other.sent_) {}

SlotChoice::~SlotChoice() {
    if (table_ != nullptr) table_->end_choice(*this);
}

int32_t SlotTable::Slot::n_held(std::span<const Token> prompt, const std::string& whose) const {
    return tenant == whose ? std::min(common_prefix(prompt, tokens), n_exact) : 0;
}

// Composed rows go whatever the prompt is: the server may keep in memory what a slot held before.
bool SlotTable::Slot::must_clear(const std::string& whose) const {
    return composed || mixed || tenant != whose;
}

SlotTable::SlotTable(int32_t n_slots) : slots_(static_cast<size_t>(n_slots)) {}

SlotTable::Slot* SlotTable::best_idle(std::span<const Token> prompt, const std::string& tenant) {
    // A few tokens that all prompts begin with are no reason to lose what else a slot holds.
    const auto n_least = static_cast<int32_t>(prompt.size() / kShareLeast);
    Slot* best = nullptr;
    int32_t best_held = -1;
    for (Slot& slot : slots_) {
        if (slot.taken) continue;
        const bool unseen = prompt.empty() && slot.tokens.empty() && !slot.must_clear(tenant);
        const int32_t found = unseen ? 1 : slot.n_held(prompt, tenant);
        const int32_t n_held = found > n_least ? found : 0;
        if (n_held > best_held || (n_held == best_held && slot.used < best->used)) {
            best = &slot;
            best_held = n_held;
        }
    }
    return best;
}

SlotLease SlotTable::lease(Slot& slot, std::span<const Token> prompt, std::string tenant) {
    const int32_t n_held = slot.n_held(prompt, tenant);
    const bool must_clear = slot.must_clear(tenant);
    slot.taken = true;
    return SlotLease(*this, static_cast<int32_t>(&slot - slots_.data()), std::move(tenant), n_held,
                     must_clear);
}

std::optional<SlotLease> SlotTable::take(std::span<const Token> prompt, std::string tenant,
                                         Time deadline, const std::stop_token& stop) {
    const std::stop_callback wake(stop, waking(mutex_, changed_));
    const MutexLock lock(mutex_);
    Slot* slot = best_idle(prompt, tenant);
    ++n_waiting_;
    for (bool in_time = true; slot == nullptr && in_time && !stop.stop_requested();) {
        in_time = changed_.wait_until(mutex_, deadline);
        slot = best_idle(prompt, tenant);
    }
    --n_waiting_;
    if (slot == nullptr) return std::nullopt;
    return lease(*slot, prompt, std::move(tenant));
}

SlotChoice SlotTable::choose(std::string tenant) {
    const MutexLock lock(mutex_);
    ++n_choices_;
    return SlotChoice(*this, std::move(tenant));
}

Result<std::optional<SlotLease>> SlotTable::take_composed(std::string tenant, Time deadline,
                                                          const std::stop_token& stop) {
    const std::stop_callback wake(stop, waking(mutex_, changed_));
    const MutexLock lock(mutex_);
    for (bool in_time = true;;) {
        bool busy = false;
        for (Slot& slot : slots_) {
            if (!slot.composed) continue;
            if (!slot.taken) return std::optional(lease(slot, {}, std::move(tenant)));
            busy = true;
        }
        if (!busy) return std::optional<SlotLease>();
        if (stop.stop_requested()) return Error{ErrorCode::kCancelled, "nobody waits any more"};
        if (!in_time) return Error{ErrorCode::kOverloaded, "slots that must be cleared are busy"};
        in_time = changed_.wait_until(mutex_, deadline);
    }
}

std::optional<SlotLease> SlotTable::take_foreign(std::string tenant) {
    const MutexLock lock(mutex_);
    if (n_choices_ > 1) return std::nullopt;
    const auto foreign = std::ranges::find_if(
        slots_, [&](const Slot& slot) { return !slot.taken && slot.must_clear(tenant); });
    if (foreign == slots_.end()) return std::nullopt;
    return lease(*foreign, {}, std::move(tenant));
}

int32_t SlotTable::n_taken() const {
    const MutexLock lock(mutex_);
    return static_cast<int32_t>(std::ranges::count(slots_, true, &Slot::taken));
}

int32_t SlotTable::n_waiting() const {
    const MutexLock lock(mutex_);
    return n_waiting_;
}

void SlotTable::forget_all() {
    const MutexLock lock(mutex_);
    for (Slot& slot : slots_) {
        slot.composed = true;
        slot.tokens.clear();
    }
}

bool SlotTable::touch(const SlotLease& lease, bool fill) {
    const MutexLock lock(mutex_);
    if (fill && n_choices_ > 0) return false;
    Slot& slot = slots_[static_cast<size_t>(lease.slot_)];
    slot.composed = slot.composed || fill;
    slot.mixed = slot.mixed || slot.tenant != lease.tenant_;
    return true;
}

void SlotTable::give_back(SlotLease& lease) {
    {
        const MutexLock lock(mutex_);
        Slot& slot = slots_[static_cast<size_t>(lease.slot_)];
        slot.taken = false;
        if (lease.settled_ || lease.touched_) {
            slot.used = ++uses_;
            slot.tenant = std::move(lease.tenant_);
            slot.tokens = std::move(lease.prompt_);
            slot.n_exact = lease.n_exact_;
            slot.composed =
                !lease.settled_ || static_cast<size_t>(slot.n_exact) < slot.tokens.size();
            slot.mixed = false;
        }
    }
    changed_.notify_all();
}

// Any slot may have been taken.
void SlotTable::end_choice(const SlotChoice& choice) {
    {
        const MutexLock lock(mutex_);
        --n_choices_;
        for (Slot& slot : slots_) {
            if (!choice.sent_) break;
            slot.tokens.clear();
            slot.mixed = slot.mixed || slot.tenant != choice.tenant_;
        }
    }
    changed_.notify_all();
}

}  // namespace spolia
