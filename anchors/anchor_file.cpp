#include "anchors/anchor_file.h"

#include <cstdint>
#include <unordered_map>
#include <utility>

#include "index/bytes.h"

namespace spolia {
namespace {

constexpr std::string_view kMagic = "SPOLANC1";

// Each chunk once, in the order in which they are met.
class ContextTable {
public:
    uint32_t index_of(const ContextChunk& chunk) {
        const auto [found, is_new] =
            indices_.try_emplace(chunk.key, static_cast<uint32_t>(chunks_.size()));
        if (is_new) chunks_.push_back(&chunk);
        return found->second;
    }
    const std::vector<const ContextChunk*>& chunks() const { return chunks_; }

private:
    std::unordered_map<Key128, uint32_t, Key128Hash> indices_;
    std::vector<const ContextChunk*> chunks_;
};

std::vector<ContextChunk> take_table(ByteReader& reader) {
    std::vector<ContextChunk> table;
    for (uint32_t left = reader.take<uint32_t>(); left > 0 && reader.ok(); --left) {
        const Key128 key = reader.take_key();
        table.push_back({key, std::make_shared<const ChunkWords>(reader.take_vector<uint64_t>())});
    }
    return table;
}

std::optional<Anchor> take_anchor(ByteReader& reader, std::span<const ContextChunk> table) {
    Anchor anchor;
    anchor.chunk = reader.take_key();
    anchor.block = reader.take_key();
    anchor.depth = reader.take<int32_t>();
    anchor.bytes = reader.take<uint64_t>();
    for (const uint32_t index : reader.take_vector<uint32_t>()) {
        if (index >= table.size()) return std::nullopt;
        anchor.context.push_back(table[index]);
    }
    if (!reader.ok()) return std::nullopt;
    return anchor;
}

}  // namespace

std::string format_anchors(const Key128& model,
                           std::span<const std::shared_ptr<const Anchor>> anchors) {
    ContextTable table;
    std::string body;
    put(body, static_cast<uint32_t>(anchors.size()));
    for (const std::shared_ptr<const Anchor>& anchor : anchors) {
        put(body, anchor->chunk);
        put(body, anchor->block);
        put(body, anchor->depth);
        put(body, anchor->bytes);
        std::vector<uint32_t> context;
        for (const ContextChunk& chunk : anchor->context) context.push_back(table.index_of(chunk));
        put(body, context);
    }
    std::string bytes(kMagic);
    put(bytes, model);
    put(bytes, static_cast<uint32_t>(table.chunks().size()));
    for (const ContextChunk* chunk : table.chunks()) {
        put(bytes, chunk->key);
        put(bytes, *chunk->words);
    }
    bytes += body;
    put_checksum(bytes);
    return bytes;
}

std::optional<std::vector<Anchor>> parse_anchors(std::string_view bytes, const Key128& model) {
    ByteReader reader(checked_bytes(bytes));
    if (reader.take_bytes(kMagic.size()) != kMagic || reader.take_key() != model) {
        return std::nullopt;
    }
    const std::vector<ContextChunk> table = take_table(reader);
    std::vector<Anchor> anchors;
    for (uint32_t left = reader.take<uint32_t>(); left > 0 && reader.ok(); --left) {
        std::optional<Anchor> anchor = take_anchor(reader, table);
        if (!anchor) return std::nullopt;
        anchors.push_back(*std::move(anchor));
    }
    if (!reader.done()) return std::nullopt;
    return anchors;
}

}  // namespace spolia
