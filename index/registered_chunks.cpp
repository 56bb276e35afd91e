#include "index/registered_chunks.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace spolia {
namespace {

// Tokens of a chunk that its group is found by: enough to be rare in other text.
constexpr size_t kHeadTokens = 16;

// Heads are hashed token by token, so that one pass gives the hash of every length. Never stored.
constexpr uint64_t kHashSeed = 0x51ed270b9f3c7d15;

uint64_t extend_hash(uint64_t hash, Token token) {
    hash = (hash ^ static_cast<uint32_t>(token)) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 29;
}

uint64_t hash_head(std::span<const Token> tokens) {
    uint64_t hash = kHashSeed;
    for (const Token token : tokens) hash = extend_hash(hash, token);
    return hash;
}

bool starts_with(std::span<const Token> tokens, std::span<const Token> prefix) {
    return tokens.size() >= prefix.size() &&
           std::equal(prefix.begin(), prefix.end(), tokens.begin());
}

bool less(std::span<const Token> a, std::span<const Token> b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

Status RegisteredChunkSet::Builder::add(std::span<const Token> tokens) {
    if (tokens.empty()) {
        return Error{ErrorCode::kInvalidArgument, "a chunk without tokens can't be registered"};
    }
    if (tokens.size() > tokens_max_ - tokens_.size()) {
        return Error{ErrorCode::kOverloaded,
                     "registering a chunk of " + std::to_string(tokens.size()) +
                         " tokens would exceed the bound of " + std::to_string(tokens_max_) +
                         " registered tokens; delete chunks that are no longer needed"};
    }
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    ends_.push_back(tokens_.size());
    return {};
}

RegisteredChunkSet RegisteredChunkSet::Builder::build() && {
    RegisteredChunkSet set;
    set.tokens_ = std::move(tokens_);
    size_t begin = 0;
    for (const size_t end : ends_) {
        set.entries_.push_back({begin, static_cast<int32_t>(end - begin), -1});
        begin = end;
    }
    set.sort_entries();
    set.link_prefixes();
    set.group_by_head();
    return set;
}

std::span<const Token> RegisteredChunkSet::tokens_of(const Entry& entry) const {
    return std::span(tokens_).subspan(entry.offset, static_cast<size_t>(entry.length));
}

void RegisteredChunkSet::sort_entries() {
    std::sort(entries_.begin(), entries_.end(),
              [this](const Entry& a, const Entry& b) { return less(tokens_of(a), tokens_of(b)); });
    const auto same = [this](const Entry& a, const Entry& b) {
        return std::ranges::equal(tokens_of(a), tokens_of(b));
    };
    entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
}

// In lexicographic order whatever begins with an entry follows it directly, so the entry above, or
// one that it begins with, is the longest prefix.
void RegisteredChunkSet::link_prefixes() {
    for (size_t i = 1; i < entries_.size(); ++i) {
        int32_t prefix = static_cast<int32_t>(i) - 1;
        while (prefix >= 0 && !starts_with(tokens_of(entries_[i]), tokens_of(entries_[prefix]))) {
            prefix = entries_[prefix].prefix;
        }
        entries_[i].prefix = prefix;
    }
}

// Entries with one head are neighbours. Of two heads with equal hashes the first keeps its group:
// chunks with the other are then not found, which costs reuse but never correctness.
void RegisteredChunkSet::group_by_head() {
    std::array<bool, kHeadTokens + 1> lengths = {};
    for (size_t i = 0; i < entries_.size(); ++i) {
        const std::span<const Token> tokens = tokens_of(entries_[i]);
        const std::span<const Token> head = tokens.first(std::min(tokens.size(), kHeadTokens));
        lengths[head.size()] = true;
        const int32_t at = static_cast<int32_t>(i);
        Group& group = groups_.try_emplace(hash_head(head), Group{at, at}).first->second;
        if (group.end == at) group.end = at + 1;
    }
    for (size_t length = kHeadTokens; length > 0; --length) {
        if (lengths[length]) head_lengths_.push_back(length);
    }
}

int32_t RegisteredChunkSet::match(std::span<const Token> tokens) const {
    if (head_lengths_.empty()) return 0;
    std::array<uint64_t, kHeadTokens + 1> hashes = {};
    hashes[0] = kHashSeed;
    const size_t n = std::min(tokens.size(), head_lengths_.front());
    for (size_t i = 0; i < n; ++i) hashes[i + 1] = extend_hash(hashes[i], tokens[i]);
    for (const size_t length : head_lengths_) {
        if (length > n) continue;
        const auto group = groups_.find(hashes[length]);
        if (group == groups_.end()) continue;
        if (const int32_t found = longest_in(group->second, tokens); found > 0) return found;
    }
    return 0;
}

// Every registered prefix of `tokens` is the last entry not above `tokens`, or a prefix of it.
int32_t RegisteredChunkSet::longest_in(const Group& group, std::span<const Token> tokens) const {
    const auto begin = entries_.begin() + group.begin;
    const auto behind = std::upper_bound(begin, entries_.begin() + group.end, tokens,
                                         [this](std::span<const Token> sought, const Entry& entry) {
                                             return less(sought, tokens_of(entry));
                                         });
    int32_t at = static_cast<int32_t>(behind - entries_.begin()) - 1;
    if (at < group.begin) return 0;
    const std::span<const Token> last = tokens_of(entries_[at]);
    const size_t shared =
        std::mismatch(last.begin(), last.end(), tokens.begin(), tokens.end()).first - last.begin();
    while (at >= 0 && static_cast<size_t>(entries_[at].length) > shared) at = entries_[at].prefix;
    return at >= 0 ? entries_[at].length : 0;
}

}  // namespace spolia
