#include "broker/core/chunk_sources.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace spolia {
namespace {

// Of anchors that are used where the chunk alone is not there: behind another agent's own note and
// nothing else is as it is in most teams. What that note said is lost, and traced as such.
constexpr int32_t kWorthMin = -1;

}  // namespace

ChunkSources::ChunkSources(std::span<const Token> tokens, std::span<const Segment> segments,
                           const UsableAnchors& usable, const FindResidence& find)
    : tokens_(tokens), segments_(segments), usable_(usable), find_(find) {
    if (usable.anchors == nullptr) return;
    for (size_t part = 0; part < segments.size(); ++part) {
        if (segments[part].role != SegmentRole::kChunk) continue;
        chunks_.push_back({segments[part].key, static_cast<int32_t>(part)});
    }
}

std::span<const Token> ChunkSources::tokens_of(size_t part) const {
    const TokenSpan span = segments_[part].span;
    return tokens_.subspan(span.begin, span.size());
}

ChunkSource ChunkSources::of(size_t part) const {
    const std::span<const Token> tokens = tokens_of(part);
    const Key128& key = segments_[part].key;
    const ChunkSource alone{.key = key, .residence = find_(key, tokens)};
    if (usable_.anchors == nullptr) return alone;
    std::vector<std::shared_ptr<const Anchor>> held;
    std::ranges::copy_if(
        usable_.anchors->find(key), std::back_inserter(held), [&](const auto& anchor) {
            return anchor->depth <= usable_.depth_max && present(find_(anchor->block, tokens));
        });
    const auto own =
        std::ranges::lower_bound(chunks_, static_cast<int32_t>(part), {}, &ChunkInFront::part);
    const auto in_front =
        std::span(chunks_).first(static_cast<size_t>(std::distance(chunks_.begin(), own)));
    std::optional<AnchorMatch> best = best_anchor(held, in_front, static_cast<int32_t>(part));
    if (!best || best->worth() < (present(alone.residence) ? 1 : kWorthMin)) return alone;
    return {.key = best->anchor->block,
            .residence = find_(best->anchor->block, tokens),
            .known = std::make_shared<const KnownContext>(std::move(best->known)),
            .depth = best->anchor->depth};
}

}  // namespace spolia
