#include "anchors/anchor.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "index/bytes.h"

namespace spolia {

Key128 anchor_key(const Key128& chunk, std::span<const ContextChunk> context) {
    std::string bytes = "anchor";
    put(bytes, chunk);
    for (const ContextChunk& each : context) put(bytes, each.key);
    return hash_text(bytes);
}

std::vector<ContextChunk> chunks_of(std::span<const Segment> segments,
                                    const PromptOutline& outline) {
    std::vector<ContextChunk> chunks;
    auto sentence = outline.sentences.begin();
    for (size_t part = 0; part < segments.size(); ++part) {
        ChunkWords words;
        for (; sentence != outline.sentences.end() && static_cast<size_t>(sentence->part) <= part;
             ++sentence) {
            const std::span<const uint64_t> own = outline.words_of(*sentence);
            words.insert(words.end(), own.begin(), own.end());
        }
        if (segments[part].role != SegmentRole::kChunk) continue;
        std::ranges::sort(words);
        words.erase(std::ranges::unique(words).begin(), words.end());
        chunks.push_back(
            {segments[part].key, std::make_shared<const ChunkWords>(std::move(words))});
    }
    return chunks;
}

}  // namespace spolia
