#include "broker/core/registry_file.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "index/bytes.h"
#include "index/whole_file.h"

namespace spolia {
namespace {

constexpr std::string_view kMagic = "SPOLREG1";

std::optional<std::vector<RegisteredChunk>> parse(std::string_view bytes, const Key128& model) {
    ByteReader reader(checked_bytes(bytes));
    if (reader.take_bytes(kMagic.size()) != kMagic || reader.take_key() != model) {
        return std::nullopt;
    }
    std::vector<RegisteredChunk> chunks;
    for (uint32_t left = reader.take<uint32_t>(); left > 0 && reader.ok(); --left) {
        RegisteredChunk chunk;
        chunk.tenant = reader.take_text();
        chunk.name = reader.take_text();
        chunk.tokens = reader.take_vector<Token>();
        if (chunk.tokens.empty()) return std::nullopt;
        chunk.key = chunk_key({model, chunk.tenant}, chunk.tokens);
        chunks.push_back(std::move(chunk));
    }
    if (!reader.done()) return std::nullopt;
    return chunks;
}

}  // namespace

std::string format_registry(const Key128& model, std::span<const RegisteredChunk* const> chunks) {
    std::string bytes(kMagic);
    put(bytes, model);
    put(bytes, static_cast<uint32_t>(chunks.size()));
    for (const RegisteredChunk* chunk : chunks) {
        put(bytes, chunk->tenant);
        put(bytes, chunk->name);
        put(bytes, chunk->tokens);
    }
    put_checksum(bytes);
    return bytes;
}

Status write_registry_file(const std::filesystem::path& path, std::string_view bytes) {
    return replace_file(path, bytes, "the registered chunks");
}

Result<std::vector<RegisteredChunk>> read_registry_file(const std::filesystem::path& path,
                                                        const Key128& model) {
    const std::optional<std::string> bytes = read_whole_file(path);
    if (!bytes) return Error{ErrorCode::kNotFound, "no registered chunks at " + path.string()};
    auto chunks = parse(*bytes, model);
    if (!chunks) {
        return Error{ErrorCode::kCorrupt, "the registered chunks in " + path.string() +
                                              " are damaged or another model's"};
    }
    return *std::move(chunks);
}

}  // namespace spolia
