#include "broker/core/registry_file.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "broker/core/whole_file.h"

namespace spolia {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is written as memory has it");

constexpr std::string_view kMagic = "SPOLREG1";
constexpr size_t kKeyBytes = 2 * sizeof(uint64_t);

template <class T>
void put(std::string& out, const T& value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put(std::string& out, const Key128& key) {
    put(out, key.high);
    put(out, key.low);
}

void put(std::string& out, const std::string& text) {
    put(out, static_cast<uint32_t>(text.size()));
    out += text;
}

Key128 checksum(std::string_view bytes) { return hash_bytes(std::as_bytes(std::span(bytes))); }

// Takes values off the front of a byte string; once it runs short it stays failed.
class Reader {
public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}

    template <class T>
    T take() {
        T value{};
        const std::string_view bytes = take_bytes(sizeof(T));
        if (ok_) std::memcpy(&value, bytes.data(), sizeof(T));
        return value;
    }
    Key128 take_key() {
        const auto high = take<uint64_t>();
        return {high, take<uint64_t>()};
    }
    std::string take_text() { return std::string(take_bytes(take<uint32_t>())); }
    std::vector<Token> take_tokens() {
        const size_t n = take<uint32_t>();
        const std::string_view bytes = take_bytes(n * sizeof(Token));
        std::vector<Token> tokens(bytes.size() / sizeof(Token));
        if (!tokens.empty()) std::memcpy(tokens.data(), bytes.data(), bytes.size());
        return tokens;
    }
    std::string_view take_bytes(size_t n) {
        if (n > rest_.size()) ok_ = false;
        if (!ok_) return {};
        const std::string_view bytes = rest_.substr(0, n);
        rest_.remove_prefix(n);
        return bytes;
    }
    bool ok() const { return ok_; }
    bool done() const { return ok_ && rest_.empty(); }

private:
    std::string_view rest_;
    bool ok_ = true;
};

std::optional<std::vector<RegisteredChunk>> parse(std::string_view bytes, const Key128& model) {
    if (bytes.size() < kKeyBytes) return std::nullopt;
    const std::string_view body = bytes.substr(0, bytes.size() - kKeyBytes);
    if (Reader(bytes.substr(body.size())).take_key() != checksum(body)) return std::nullopt;

    Reader reader(body);
    if (reader.take_bytes(kMagic.size()) != kMagic || reader.take_key() != model) {
        return std::nullopt;
    }
    std::vector<RegisteredChunk> chunks;
    for (uint32_t left = reader.take<uint32_t>(); left > 0 && reader.ok(); --left) {
        RegisteredChunk chunk;
        chunk.tenant = reader.take_text();
        chunk.name = reader.take_text();
        chunk.tokens = reader.take_tokens();
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
        put(bytes, static_cast<uint32_t>(chunk->tokens.size()));
        bytes.append(reinterpret_cast<const char*>(chunk->tokens.data()),
                     chunk->tokens.size() * sizeof(Token));
    }
    put(bytes, checksum(bytes));
    return bytes;
}

Status write_registry_file(const std::filesystem::path& path, std::string_view bytes) {
    return replace_file(path, bytes, "the registered chunks");
}

Result<std::vector<RegisteredChunk>> read_registry_file(const std::filesystem::path& path,
                                                        const Key128& model) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return Error{ErrorCode::kNotFound, "no registered chunks at " + path.string()};
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    auto chunks = parse(bytes, model);
    if (!chunks) {
        return Error{ErrorCode::kCorrupt, "the registered chunks in " + path.string() +
                                              " are damaged or another model's"};
    }
    return *std::move(chunks);
}

}  // namespace spolia
