#pragma once

#include <cstddef>
#include <list>
#include <unordered_map>
#include <utility>

#include "index/fingerprint.h"

namespace spolia {

// A map from keys to values that forgets what was put longest ago. Not thread-safe.
template <class Value>
class LruMap {
public:
    explicit LruMap(size_t entries_max) : entries_max_(entries_max) {}

    // Null where the key is not known. Does not count as a use.
    const Value* find(const Key128& key) const {
        const auto found = places_.find(key);
        return found == places_.end() ? nullptr : &found->second->second;
    }

    // The value of a key, which becomes the newest: as it is, or a new one.
    Value& touch(const Key128& key) {
        const auto found = places_.find(key);
        if (found != places_.end()) {
            entries_.splice(entries_.begin(), entries_, found->second);
            return found->second->second;
        }
        if (!places_.empty() && places_.size() >= entries_max_) {
            places_.erase(entries_.back().first);
            entries_.pop_back();
        }
        entries_.emplace_front(key, Value());
        places_.emplace(key, entries_.begin());
        return entries_.front().second;
    }

    size_t size() const { return places_.size(); }

private:
    using Entries = std::list<std::pair<Key128, Value>>;

    const size_t entries_max_;
    Entries entries_;  // newest first
    std::unordered_map<Key128, typename Entries::iterator, Key128Hash> places_;
};

}  // namespace spolia
