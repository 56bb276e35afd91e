#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "index/chunker.h"
#include "index/result.h"

namespace spolia {

// An immutable snapshot of the chunks that one tenant has registered: make one a tenant, and a new
// one when the chunks change. Thread-safe.
//
// match() costs one hash look-up a head length (16, and the lengths of shorter chunks) at most, and
// only where a head is found a binary search among the chunks that begin with it.
class RegisteredChunkSet final : public RegisteredChunks {
public:
    // Collects chunks. Takes tokens_max tokens altogether.
    class Builder {
    public:
        explicit Builder(size_t tokens_max = size_t{1} << 26) : tokens_max_(tokens_max) {}

        // Adding a chunk twice is the same as once. kInvalidArgument: no tokens; kOverloaded: the
        // bound is reached, nothing was added.
        Status add(std::span<const Token> tokens);
        RegisteredChunkSet build() &&;

    private:
        size_t tokens_max_;
        std::vector<Token> tokens_;
        std::vector<size_t> ends_;
    };

    RegisteredChunkSet() = default;

    int32_t match(std::span<const Token> tokens) const override;
    // Distinct chunks.
    size_t size() const { return entries_.size(); }

private:
    struct Entry {
        size_t offset = 0;  // into tokens_
        int32_t length = 0;
        int32_t prefix = -1;  // the longest other entry that this one begins with; -1 for none
    };
    // Entries [begin, end) that share one head.
    struct Group {
        int32_t begin = 0;
        int32_t end = 0;
    };

    std::span<const Token> tokens_of(const Entry& entry) const;
    void sort_entries();
    void link_prefixes();
    void group_by_head();
    int32_t longest_in(const Group& group, std::span<const Token> tokens) const;

    std::vector<Token> tokens_;
    std::vector<Entry> entries_;                  // in lexicographic order of their tokens
    std::unordered_map<uint64_t, Group> groups_;  // by the hash of the head
    std::vector<size_t> head_lengths_;            // descending
};

}  // namespace spolia
