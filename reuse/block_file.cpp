#include "reuse/block_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

namespace spolia {
namespace {

static_assert(std::endian::native == std::endian::little,
              "payloads are written as they lie in memory");

constexpr std::string_view kMagic = "SPOLIAKV";
constexpr uint64_t kPayloadAlignment = 64;
constexpr size_t kHashBytes = 16;

// Far beyond any model, and small enough that no product of them overflows 64 bits.
constexpr uint32_t kLayersMax = 1u << 12;
constexpr uint32_t kDimMax = 1u << 20;
constexpr uint32_t kRowsMax = 1u << 24;

class Writer {
public:
    explicit Writer(size_t bytes) { bytes_.reserve(bytes); }

    void text(std::string_view text) {
        for (const char c : text) {
            bytes_.push_back(static_cast<std::byte>(c));
        }
    }
    void u32(uint32_t value) { integer(value, 4); }
    void i32(int32_t value) { integer(static_cast<uint32_t>(value), 4); }
    void u64(uint64_t value) { integer(value, 8); }
    void key(const Key128& key) {
        u64(key.low);
        u64(key.high);
    }
    void pad_to(uint64_t size) { bytes_.resize(size); }
    std::span<const std::byte> bytes() const { return bytes_; }
    std::vector<std::byte> take() { return std::move(bytes_); }

private:
    void integer(uint64_t value, int n_bytes) {
        for (int i = 0; i < n_bytes; ++i) {
            bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
        }
    }

    std::vector<std::byte> bytes_;
};

// The caller has checked that there are bytes enough.
class Reader {
public:
    explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    uint32_t u32() { return static_cast<uint32_t>(integer(4)); }
    int32_t i32() { return static_cast<int32_t>(u32()); }
    uint64_t u64() { return integer(8); }
    Key128 key() {
        Key128 key;
        key.low = u64();
        key.high = u64();
        return key;
    }
    void skip(size_t n_bytes) { at_ += n_bytes; }

private:
    uint64_t integer(size_t n_bytes) {
        uint64_t value = 0;
        for (size_t i = 0; i < n_bytes; ++i) {
            value |= std::to_integer<uint64_t>(bytes_[at_ + i]) << (8 * i);
        }
        at_ += n_bytes;
        return value;
    }

    std::span<const std::byte> bytes_;
    size_t at_ = 0;
};

Error corrupt(std::string what) {
    return {ErrorCode::kCorrupt, "not a block file of this version: " + std::move(what)};
}

uint64_t header_end(uint64_t n_rows) {
    return kBlockPrefixBytes + n_rows * sizeof(Token) + kHashBytes;
}

uint64_t payload_begin(uint64_t n_rows) {
    return (header_end(n_rows) + kPayloadAlignment - 1) / kPayloadAlignment * kPayloadAlignment;
}

// The part of the header that has a fixed length, as it stands in the file.
struct Prefix {
    bool magic_ok = false;
    uint32_t version = 0;
    uint32_t provenance = 0;
    Key128 model, key, left_context;
    uint32_t n_layer = 0, k_dim = 0, v_dim = 0, n_rows = 0;
    int32_t frame_row = 0;
    uint32_t zero = 0;
    uint64_t payload_bytes = 0;
    Key128 payload_hash;

    KvLayout layout() const {
        return {static_cast<int32_t>(n_layer), static_cast<int32_t>(k_dim),
                static_cast<int32_t>(v_dim)};
    }
};

Prefix read_prefix(std::span<const std::byte> bytes) {
    Prefix prefix;
    prefix.magic_ok = std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
    Reader reader(bytes);
    reader.skip(kMagic.size());
    prefix.version = reader.u32();
    prefix.provenance = reader.u32();
    prefix.model = reader.key();
    prefix.key = reader.key();
    prefix.left_context = reader.key();
    prefix.n_layer = reader.u32();
    prefix.k_dim = reader.u32();
    prefix.v_dim = reader.u32();
    prefix.n_rows = reader.u32();
    prefix.frame_row = reader.i32();
    prefix.zero = reader.u32();
    prefix.payload_bytes = reader.u64();
    prefix.payload_hash = reader.key();
    return prefix;
}

Status check_prefix(const Prefix& prefix, uint64_t file_bytes) {
    if (!prefix.magic_ok) {
        return corrupt("wrong magic");
    }
    if (prefix.version != kBlockFileVersion) {
        return corrupt("format version " + std::to_string(prefix.version) + ", this is " +
                       std::to_string(kBlockFileVersion));
    }
    const bool in_range = prefix.provenance <= static_cast<uint32_t>(Provenance::kApproximate) &&
                          prefix.n_layer >= 1 && prefix.n_layer <= kLayersMax &&
                          prefix.k_dim <= kDimMax && prefix.v_dim <= kDimMax &&
                          prefix.n_rows >= 1 && prefix.n_rows <= kRowsMax && prefix.zero == 0;
    if (!in_range) {
        return corrupt("a header field is out of range");
    }
    const uint64_t payload = prefix.layout().row_bytes() * uint64_t{prefix.n_rows};
    const uint64_t total = payload_begin(prefix.n_rows) + payload;
    if (prefix.payload_bytes != payload || file_bytes != total) {
        return corrupt("it should have " + std::to_string(total) + " bytes, not " +
                       std::to_string(file_bytes));
    }
    return {};
}

}  // namespace

std::vector<std::byte> encode_block_header(const KvBlock& block) {
    const BlockMeta& meta = block.meta();
    Writer writer(payload_begin(meta.tokens.size()));
    writer.text(kMagic);
    writer.u32(kBlockFileVersion);
    writer.u32(static_cast<uint32_t>(meta.provenance));
    writer.key(meta.model);
    writer.key(meta.key);
    writer.key(meta.left_context);
    writer.i32(meta.layout.n_layer);
    writer.i32(meta.layout.k_dim);
    writer.i32(meta.layout.v_dim);
    writer.i32(meta.n_rows());
    writer.i32(meta.frame_row);
    writer.u32(0);
    writer.u64(block.data().size());
    writer.key(hash_bytes(block.data()));
    for (const Token token : meta.tokens) {
        writer.i32(token);
    }
    writer.key(hash_bytes(writer.bytes()));
    writer.pad_to(payload_begin(meta.tokens.size()));
    return writer.take();
}

uint64_t block_file_bytes(const BlockMeta& meta) {
    return payload_begin(meta.tokens.size()) + meta.layout.row_bytes() * meta.tokens.size();
}

Result<uint64_t> payload_offset(std::span<const std::byte> prefix, uint64_t file_bytes) {
    if (prefix.size() < kBlockPrefixBytes) {
        return corrupt("it ends within its header");
    }
    const Prefix read = read_prefix(prefix);
    if (Status status = check_prefix(read, file_bytes); !status.ok()) {
        return std::move(status).error();
    }
    return payload_begin(read.n_rows);
}

Result<BlockHeader> decode_block_header(std::span<const std::byte> header, uint64_t file_bytes) {
    const Result<uint64_t> offset = payload_offset(header, file_bytes);
    if (!offset.ok()) {
        return offset.error();
    }
    if (header.size() != *offset) {
        return corrupt("its header is cut off");
    }
    const Prefix prefix = read_prefix(header);
    const uint64_t end = header_end(prefix.n_rows);
    if (Reader(header.subspan(end - kHashBytes)).key() !=
        hash_bytes(header.first(end - kHashBytes))) {
        return corrupt("its header does not match its checksum");
    }
    const std::span<const std::byte> padding = header.subspan(end);
    if (std::any_of(padding.begin(), padding.end(),
                    [](std::byte b) { return b != std::byte{0}; })) {
        return corrupt("its padding is not zero");
    }
    BlockHeader result;
    result.payload_offset = *offset;
    result.payload_bytes = prefix.payload_bytes;
    result.payload_hash = prefix.payload_hash;
    result.meta = {.key = prefix.key,
                   .model = prefix.model,
                   .left_context = prefix.left_context,
                   .provenance = static_cast<Provenance>(prefix.provenance),
                   .frame_row = prefix.frame_row,
                   .layout = prefix.layout(),
                   .tokens = {}};
    result.meta.tokens.resize(prefix.n_rows);
    Reader tokens(header.subspan(kBlockPrefixBytes));
    for (Token& token : result.meta.tokens) {
        token = tokens.i32();
    }
    return result;
}

bool payload_intact(const BlockHeader& header, const KvBlock& block) {
    return block.data().size() == header.payload_bytes &&
           hash_bytes(block.data()) == header.payload_hash;
}

}  // namespace spolia
