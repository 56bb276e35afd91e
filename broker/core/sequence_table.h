#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "index/fingerprint.h"
#include "index/token.h"

namespace spolia {

// Which tokens each of the engine's sequences holds, and how many of its rows, from the front, are
// exact: what dense compute leaves there. A row behind a composed row is never exact, because it
// attended to it. Not thread-safe.
class SequenceTable {
public:
    explicit SequenceTable(int32_t n_sequences);

    struct Match {
        int32_t sequence = 0;
        int32_t n_exact = 0;  // leading rows of the prompt that it holds, exact
    };
    // The idle sequence to put a prompt into; nullopt when all are busy. The longest common prefix
    // wins where it is at least half of what its sequence holds. Otherwise more would be thrown
    // away than kept, and the sequence unused for longest goes, empty ones before all.
    std::optional<Match> choose(std::span<const Token> prompt, const std::string& salt) const;
    // The idle sequence that is the least loss to overwrite: the one unused for longest.
    std::optional<Match> least_wanted(std::span<const Token> prompt, const std::string& salt) const;

    // A prefill begins: the sequence keeps its first n_keep rows and is busy. Until filled()
    // nothing else in it is believed.
    void begin(int32_t sequence, const std::string& salt, int32_t n_keep);
    // The prefill is done: the sequence holds `prompt`, whose first n_exact rows are exact.
    void filled(int32_t sequence, std::span<const Token> prompt, int32_t n_exact);
    // A decoded row was appended.
    void append(int32_t sequence, Token token);
    // The generation is over; what the sequence holds stays for the next prompt.
    void release(int32_t sequence);
    // The sequence is empty and idle.
    void clear(int32_t sequence);

    int32_t size() const { return static_cast<int32_t>(entries_.size()); }
    int32_t n_busy() const;
    bool busy(int32_t sequence) const { return entries_[sequence].busy; }
    int32_t n_rows(int32_t sequence) const;
    int32_t n_exact(int32_t sequence) const { return entries_[sequence].n_exact; }
    std::span<const Token> tokens(int32_t sequence) const { return entries_[sequence].tokens; }

    // The next page of an idle sequence's exact rows that nobody has looked after yet, least
    // recently used sequence first: it will be overwritten first.
    struct Page {
        int32_t sequence = 0;
        int32_t begin = 0;
        std::string salt;
        Key128 previous;  // key of the page before; Key128{} for the first
        std::vector<Token> tokens;
    };
    std::optional<Page> next_page() const;
    bool has_page() const { return page_source() != nullptr; }
    // The page that next_page() returned is in the store, under `key`.
    void page_kept(int32_t sequence, const Key128& key);
    // There is no room for pages: the sequence's others are not offered again until it changes.
    void skip_pages(int32_t sequence);

private:
    struct Entry {
        std::vector<Token> tokens;
        std::string salt;
        int32_t n_exact = 0;
        bool busy = false;
        bool pages_skipped = false;
        uint64_t last_use = 0;          // 0: never used, or cleared
        std::vector<Key128> page_keys;  // of the leading pages that are in the store
    };
    const Entry* page_source() const;
    static int32_t common_prefix(const Entry& entry, std::span<const Token> prompt,
                                 const std::string& salt);

    std::vector<Entry> entries_;
    uint64_t clock_ = 0;
};

}  // namespace spolia
