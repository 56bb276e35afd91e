#include "anchors/context_match.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace spolia {
namespace {

struct Pair {
    size_t there = 0;
    size_t here = 0;
};

// A longest common subsequence, as pairs of indices, ascending. O(n m) behind a common start.
std::vector<Pair> common_chunks(std::span<const ContextChunk> there,
                                std::span<const ChunkInFront> here) {
    std::vector<Pair> pairs;
    size_t start = 0;
    while (start < there.size() && start < here.size() && there[start].key == here[start].key) {
        pairs.push_back({start, start});
        ++start;
    }
    const size_t n = there.size() - start, m = here.size() - start;
    // longest[i * (m + 1) + j]: of there[start + i ..] and here[start + j ..].
    std::vector<uint32_t> longest((n + 1) * (m + 1), 0);
    const auto at = [&](size_t i, size_t j) -> uint32_t& { return longest[i * (m + 1) + j]; };
    const auto same = [&](size_t i, size_t j) {
        return there[start + i].key == here[start + j].key;
    };
    for (size_t i = n; i-- > 0;) {
        for (size_t j = m; j-- > 0;) {
            at(i, j) = same(i, j) ? at(i + 1, j + 1) + 1 : std::max(at(i + 1, j), at(i, j + 1));
        }
    }
    for (size_t i = 0, j = 0; i < n && j < m;) {
        if (same(i, j)) {
            pairs.push_back({start + i++, start + j++});
        } else if (at(i + 1, j) >= at(i, j + 1)) {
            ++i;
        } else {
            ++j;
        }
    }
    return pairs;
}

// Whether what stands directly in front of both is the same chunk.
bool adjoin(std::span<const ContextChunk> there, size_t i, std::span<const ChunkInFront> here,
            size_t j) {
    return i > 0 && j > 0 && there[i - 1].key == here[j - 1].key;
}

// The words of all chunks of a context that `pairs` leave out.
std::vector<uint64_t> lost_words(std::span<const ContextChunk> context,
                                 std::span<const Pair> pairs) {
    std::vector<uint64_t> words;
    for (size_t i = 0; i < context.size(); ++i) {
        if (!pairs.empty() && pairs.front().there == i) {
            pairs = pairs.subspan(1);
            continue;
        }
        words.insert(words.end(), context[i].words->begin(), context[i].words->end());
    }
    std::ranges::sort(words);
    words.erase(std::ranges::unique(words).begin(), words.end());
    return words;
}

// Without what is known, which takes longer.
struct Candidate {
    std::shared_ptr<const Anchor> anchor;
    std::vector<Pair> pairs;

    int32_t n_known() const { return static_cast<int32_t>(pairs.size()); }
    int32_t n_lost() const { return static_cast<int32_t>(anchor->context.size() - pairs.size()); }
    int32_t worth() const { return AnchorMatch::worth(n_known(), n_lost()); }
    bool better_than(const Candidate& other) const {
        return worth() > other.worth() ||
               (worth() == other.worth() && anchor->depth < other.anchor->depth);
    }
};

AnchorMatch match_of(Candidate candidate, std::span<const ChunkInFront> here, int32_t part) {
    const std::span<const ContextChunk> there = candidate.anchor->context;
    AnchorMatch match;
    for (const auto& [i, j] : candidate.pairs) {
        match.known.parts.push_back(here[j].part);
        if (adjoin(there, i, here, j)) match.known.adjoining.push_back(here[j].part);
    }
    if (adjoin(there, there.size(), here, here.size())) match.known.adjoining.push_back(part);
    match.known.lost = lost_words(there, candidate.pairs);
    match.n_known = candidate.n_known();
    match.n_lost = candidate.n_lost();
    match.anchor = std::move(candidate.anchor);
    return match;
}

}  // namespace

AnchorMatch match_context(std::shared_ptr<const Anchor> anchor, std::span<const ChunkInFront> here,
                          int32_t part) {
    std::vector<Pair> pairs = common_chunks(anchor->context, here);
    return match_of({std::move(anchor), std::move(pairs)}, here, part);
}

std::optional<AnchorMatch> best_anchor(std::span<const std::shared_ptr<const Anchor>> anchors,
                                       std::span<const ChunkInFront> here, int32_t part) {
    std::optional<Candidate> best;
    for (const std::shared_ptr<const Anchor>& anchor : anchors) {
        Candidate candidate{anchor, common_chunks(anchor->context, here)};
        if (!best || candidate.better_than(*best)) best = std::move(candidate);
    }
    if (!best) return std::nullopt;
    return match_of(*std::move(best), here, part);
}

}  // namespace spolia
