// The parser of block files. What it accepts must be what encoding the same block gives.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "reuse/block_file.h"

namespace {

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

void put_hash(std::span<const std::byte> bytes, std::byte* target) {
    const spolia::Key128 hash = spolia::hash_bytes(bytes);
    for (size_t i = 0; i < 8; ++i) {
        target[i] = static_cast<std::byte>(hash.low >> (8 * i));
        target[8 + i] = static_cast<std::byte>(hash.high >> (8 * i));
    }
}

// Corrects the checksums of what might be a block, so that mutations reach what lies behind them.
void seal(std::vector<std::byte>& file) {
    const auto offset = spolia::payload_offset(
        std::span(file).first(std::min(file.size(), spolia::kBlockPrefixBytes)), file.size());
    if (offset.ok()) {
        uint32_t n_rows = 0;
        std::memcpy(&n_rows, file.data() + 76, sizeof n_rows);
        const size_t end = spolia::kBlockPrefixBytes + size_t{n_rows} * sizeof(spolia::Token);
        put_hash(std::span(file).subspan(*offset), file.data() + 96);
        put_hash(std::span(file).first(end), file.data() + end);
    }
}

void parse(std::span<const std::byte> file) {
    const auto offset = spolia::payload_offset(
        file.first(std::min(file.size(), spolia::kBlockPrefixBytes)), file.size());
    if (!offset.ok()) {
        return;
    }
    require(*offset <= file.size());
    const auto header = spolia::decode_block_header(file.first(*offset), file.size());
    if (!header.ok()) {
        return;
    }
    spolia::KvBlock block(header->meta);
    require(block.data().size() == file.size() - *offset);
    std::memcpy(block.data().data(), file.data() + *offset, block.data().size());
    if (spolia::payload_intact(*header, block)) {
        const std::vector<std::byte> again = spolia::encode_block_header(block);
        require(std::ranges::equal(again, file.first(*offset)));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto* bytes = reinterpret_cast<const std::byte*>(data);
    std::vector<std::byte> file(bytes, bytes + size);
    parse(file);
    seal(file);
    parse(file);
    return 0;
}
