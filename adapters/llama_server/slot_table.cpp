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
      settled_(other.settled_) {}

SlotLease::~SlotLease() {
    if (table_ != nullptr) table_->give_back(*this);
}

void SlotLease::settle(std::vector<Token> prompt, int32_t n_exact) {
    prompt_ = std::move(prompt);
    n_exact_ = n_exact;
    settled_ = true;
}

int32_t SlotTable::Slot::n_held(std::span<const Token> prompt, const std::string& whose) const {
    return tenant == whose ? std::min(common_prefix(prompt, tokens), n_exact) : 0;
}

// Composed rows go whatever the prompt is: the server may keep in memory what a slot held before.
bool SlotTable::Slot::must_clear(const std::string& whose) const {
    return !known || tenant != whose || static_cast<size_t>(n_exact) < tokens.size();
}

SlotTable::SlotTable(int32_t n_slots) : slots_(static_cast<size_t>(n_slots)) {}

SlotTable::Slot* SlotTable::best_idle(std::span<const Token> prompt, const std::string& tenant) {
    // A few tokens that all prompts begin with are no reason to lose what else a slot holds.
    const auto n_least = static_cast<int32_t>(prompt.size() / kShareLeast);
    Slot* best = nullptr;
    int32_t best_held = -1;
    for (Slot& slot : slots_) {
        if (slot.taken) continue;
        const bool unseen = prompt.empty() && slot.known && slot.tokens.empty() &&
                            slot.tenant == tenant && slot.used > 0;
        const int32_t found = unseen ? 1 : slot.n_held(prompt, tenant);
        const int32_t n_held = found > n_least ? found : 0;
        if (n_held > best_held || (n_held == best_held && slot.used < best->used)) {
            best = &slot;
            best_held = n_held;
        }
    }
    return best;
}

std::optional<SlotLease> SlotTable::take(std::span<const Token> prompt, std::string tenant,
                                         std::chrono::steady_clock::time_point deadline) {
    const MutexLock lock(mutex_);
    Slot* slot = best_idle(prompt, tenant);
    ++n_waiting_;
    bool in_time = true;
    while (slot == nullptr && in_time) {
        in_time = idle_.wait_until(mutex_, deadline);
        slot = best_idle(prompt, tenant);
    }
    --n_waiting_;
    if (slot == nullptr) return std::nullopt;
    slot->taken = true;
    const int32_t n_held = slot->n_held(prompt, tenant);
    const bool must_clear = slot->must_clear(tenant);
    return SlotLease(*this, static_cast<int32_t>(slot - slots_.data()), std::move(tenant), n_held,
                     must_clear);
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
        slot.known = false;
        slot.tokens.clear();
    }
}

void SlotTable::give_back(SlotLease& lease) {
    {
        const MutexLock lock(mutex_);
        Slot& slot = slots_[static_cast<size_t>(lease.slot_)];
        slot.taken = false;
        slot.used = ++uses_;
        slot.tenant = std::move(lease.tenant_);
        slot.tokens = std::move(lease.prompt_);
        slot.n_exact = lease.n_exact_;
        slot.known = lease.settled_;
    }
    idle_.notify_all();
}

}  // namespace spolia
