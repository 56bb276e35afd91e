#include "reuse/ram_tier.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

namespace spolia {
namespace {

// Acquire pairs with the release in BlockPin: reads of the block are over before it is freed.
bool pinned(const RamEntry& entry) { return entry.pins.load(std::memory_order_acquire) > 0; }

}  // namespace

RamEntry* RamTier::lookup(const Key128& key) const {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &*found->second.entry;
}

RamTier::Match RamTier::match(const Key128& key, std::span<const Token> tokens) const {
    const auto found = index_.find(key);
    if (found == index_.end()) return Match::kNone;
    return std::ranges::equal(found->second.tokens, tokens) ? Match::kSame : Match::kOtherTokens;
}

bool RamTier::touch(RamEntry& entry) {
    const List::iterator place = index_.at(entry.block->meta().key).entry;
    assert(&*place == &entry);
    if (entry.state == RamEntry::State::kSpilled) {
        if (!reserve(entry.bytes())) {
            return false;
        }
        cancel_reservation(entry.bytes());
    }
    move_to(place, RamEntry::State::kResident);
    return true;
}

bool RamTier::reserve(uint64_t bytes) {
    reap();
    const uint64_t used = bytes_used();
    if (bytes > bytes_max_) {
        return false;
    }
    std::vector<List::iterator> victims;
    uint64_t freed = 0;
    for (auto entry = resident_.end(); used - freed > bytes_max_ - bytes;) {
        if (entry == resident_.begin()) {
            return false;
        }
        --entry;
        if (!pinned(*entry)) {
            freed += entry->bytes();
            victims.push_back(entry);
        }
    }
    for (const List::iterator entry : victims) {
        evict(entry);
    }
    reserved_bytes_ += bytes;
    return true;
}

RamEntry& RamTier::admit(std::unique_ptr<KvBlock> block) {
    const Key128 key = block->meta().key;
    erase(key);
    resident_.emplace_front(std::move(block));
    index_.emplace(key, Place{resident_.begin(), resident_.front().block->meta().tokens});
    const uint64_t bytes = resident_.front().bytes();
    cancel_reservation(bytes);
    resident_bytes_ += bytes;
    return resident_.front();
}

bool RamTier::erase(const Key128& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) {
        return false;
    }
    const List::iterator entry = found->second.entry;
    index_.erase(found);
    move_to(entry, RamEntry::State::kOrphan);
    reap();
    return true;
}

void RamTier::write_done(RamEntry& entry) {
    entry.writing = false;
    if (entry.state == RamEntry::State::kSpilled) {
        const auto found = index_.find(entry.block->meta().key);
        spilled_.erase(found->second.entry);
        index_.erase(found);
    } else if (entry.state == RamEntry::State::kOrphan) {
        reap();
    }
}

void RamTier::evict(List::iterator entry) {
    ++n_evictions_;
    if (entry->writing) {
        move_to(entry, RamEntry::State::kSpilled);
        return;
    }
    resident_bytes_ -= entry->bytes();
    index_.erase(entry->block->meta().key);
    resident_.erase(entry);
}

RamTier::List& RamTier::list_of(RamEntry::State state) {
    switch (state) {
        case RamEntry::State::kResident: return resident_;
        case RamEntry::State::kSpilled: return spilled_;
        case RamEntry::State::kOrphan: break;
    }
    return orphans_;
}

void RamTier::move_to(List::iterator entry, RamEntry::State state) {
    if (entry->state == RamEntry::State::kResident) {
        resident_bytes_ -= entry->bytes();
    }
    List& target = list_of(state);
    target.splice(target.begin(), list_of(entry->state), entry);
    entry->state = state;
    if (state == RamEntry::State::kResident) {
        resident_bytes_ += entry->bytes();
    }
}

void RamTier::reap() {
    orphans_.remove_if([](const RamEntry& entry) { return !pinned(entry) && !entry.writing; });
}

uint64_t RamTier::bytes_used() const {
    uint64_t bytes = resident_bytes_ + reserved_bytes_;
    for (const RamEntry& entry : orphans_) {
        bytes += pinned(entry) ? entry.bytes() : 0;
    }
    return bytes;
}

uint64_t RamTier::n_pinned() const {
    const auto count = [](const List& list) {
        return static_cast<uint64_t>(std::count_if(list.begin(), list.end(), pinned));
    };
    return count(resident_) + count(orphans_);
}

}  // namespace spolia
