#include "broker/core/sequence_table.h"

#include <algorithm>
#include <cassert>
#include <cstddef>

#include "index/prefix_chain.h"

namespace spolia {

SequenceTable::SequenceTable(int32_t n_sequences) : entries_(n_sequences) {}

int32_t SequenceTable::common_prefix(const Entry& entry, std::span<const Token> prompt,
                                     const std::string& salt) {
    if (entry.salt != salt) return 0;
    const size_t n_max = std::min(prompt.size(), static_cast<size_t>(entry.n_exact));
    const auto end = std::mismatch(prompt.begin(), prompt.begin() + n_max, entry.tokens.begin());
    return static_cast<int32_t>(end.first - prompt.begin());
}

std::optional<SequenceTable::Match> SequenceTable::choose(std::span<const Token> prompt,
                                                          const std::string& salt) const {
    std::optional<Match> longest;
    std::optional<Match> oldest;
    for (int32_t s = 0; s < size(); ++s) {
        const Entry& entry = entries_[s];
        if (entry.busy) continue;
        const Match match{s, common_prefix(entry, prompt, salt)};
        const bool keeps_most = match.n_exact > 0 && 2 * match.n_exact >= entry.n_exact;
        if (keeps_most && (!longest || match.n_exact > longest->n_exact)) longest = match;
        if (!oldest || entry.last_use < entries_[oldest->sequence].last_use) oldest = match;
    }
    return longest ? longest : oldest;
}

std::optional<SequenceTable::Match> SequenceTable::least_wanted(std::span<const Token> prompt,
                                                                const std::string& salt) const {
    const Entry* oldest = nullptr;
    for (const Entry& entry : entries_) {
        if (entry.busy) continue;
        if (oldest == nullptr || entry.last_use < oldest->last_use) oldest = &entry;
    }
    if (oldest == nullptr) return std::nullopt;
    return Match{static_cast<int32_t>(oldest - entries_.data()),
                 common_prefix(*oldest, prompt, salt)};
}

void SequenceTable::begin(int32_t sequence, const std::string& salt, int32_t n_keep) {
    Entry& entry = entries_[sequence];
    assert(!entry.busy && n_keep <= entry.n_exact && (n_keep == 0 || entry.salt == salt));
    entry.tokens.resize(n_keep);
    entry.salt = salt;
    entry.n_exact = n_keep;
    entry.busy = true;
    entry.pages_skipped = false;
    entry.last_use = ++clock_;
    const size_t pages_kept = static_cast<size_t>(n_keep / kPrefixPageRows);
    entry.page_keys.resize(std::min(entry.page_keys.size(), pages_kept));
}

void SequenceTable::filled(int32_t sequence, std::span<const Token> prompt, int32_t n_exact) {
    Entry& entry = entries_[sequence];
    assert(entry.busy && n_exact <= static_cast<int32_t>(prompt.size()));
    entry.tokens.assign(prompt.begin(), prompt.end());
    entry.n_exact = n_exact;
}

void SequenceTable::append(int32_t sequence, Token token) {
    Entry& entry = entries_[sequence];
    assert(entry.busy);
    if (entry.n_exact == n_rows(sequence)) ++entry.n_exact;
    entry.tokens.push_back(token);
}

void SequenceTable::release(int32_t sequence) {
    entries_[sequence].busy = false;
    entries_[sequence].last_use = ++clock_;
}

void SequenceTable::clear(int32_t sequence) { entries_[sequence] = Entry{}; }

int32_t SequenceTable::n_busy() const {
    return static_cast<int32_t>(
        std::count_if(entries_.begin(), entries_.end(), [](const Entry& e) { return e.busy; }));
}

int32_t SequenceTable::n_rows(int32_t sequence) const {
    return static_cast<int32_t>(entries_[sequence].tokens.size());
}

const SequenceTable::Entry* SequenceTable::page_source() const {
    const Entry* oldest = nullptr;
    for (const Entry& entry : entries_) {
        const size_t pages = static_cast<size_t>(entry.n_exact / kPrefixPageRows);
        if (entry.busy || entry.pages_skipped || entry.page_keys.size() >= pages) continue;
        if (oldest == nullptr || entry.last_use < oldest->last_use) oldest = &entry;
    }
    return oldest;
}

std::optional<SequenceTable::Page> SequenceTable::next_page() const {
    const Entry* oldest = page_source();
    if (oldest == nullptr) return std::nullopt;
    Page page;
    page.sequence = static_cast<int32_t>(oldest - entries_.data());
    page.begin = static_cast<int32_t>(oldest->page_keys.size()) * kPrefixPageRows;
    page.salt = oldest->salt;
    if (!oldest->page_keys.empty()) page.previous = oldest->page_keys.back();
    page.tokens.assign(oldest->tokens.begin() + page.begin,
                       oldest->tokens.begin() + page.begin + kPrefixPageRows);
    return page;
}

void SequenceTable::page_kept(int32_t sequence, const Key128& key) {
    entries_[sequence].page_keys.push_back(key);
}

void SequenceTable::skip_pages(int32_t sequence) { entries_[sequence].pages_skipped = true; }

}  // namespace spolia
