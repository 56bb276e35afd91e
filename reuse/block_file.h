#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/result.h"
#include "reuse/block.h"

namespace spolia {

// A block file: header, zero padding up to a multiple of 64 bytes, payload; nothing behind it. All
// integers are little-endian.
//
//     offset  bytes
//          0      8  magic "SPOLIAKV"
//          8      4  format version
//         12      4  provenance
//         16     16  model fingerprint, low word first, as in all 128-bit values
//         32     16  key
//         48     16  key of the left context
//         64     12  layers, elements of a K row, elements of a V row
//         76      4  rows
//         80      4  frame row (signed)
//         84      4  zero
//         88      8  payload bytes
//         96     16  XXH3-128 of the payload
//        112  4*rows token ids
//        ...     16  XXH3-128 of all of the header before it
//
// The payload is KvBlock::data(): [layer][K rows, V rows][row][dim] half floats.
inline constexpr uint32_t kBlockFileVersion = 1;
// Length of what stands before the token ids: enough to tell how long the header is.
inline constexpr size_t kBlockPrefixBytes = 112;

struct BlockHeader {
    BlockMeta meta;
    uint64_t payload_offset = 0;
    uint64_t payload_bytes = 0;
    Key128 payload_hash;
};

// Everything of a block's file that stands before the payload.
std::vector<std::byte> encode_block_header(const KvBlock& block);

// Size of a block's file.
uint64_t block_file_bytes(const BlockMeta& meta);

// Offset of the payload in a file of `file_bytes` bytes, told from its first kBlockPrefixBytes (or
// fewer, which is an error). It is at most file_bytes. Fails with kCorrupt on anything that
// can't be a block file of this version.
Result<uint64_t> payload_offset(std::span<const std::byte> prefix, uint64_t file_bytes);

// Reads all bytes before the payload and checks each of them. Fails with kCorrupt.
Result<BlockHeader> decode_block_header(std::span<const std::byte> header, uint64_t file_bytes);

// Whether `block` holds the payload that the header tells of.
bool payload_intact(const BlockHeader& header, const KvBlock& block);

}  // namespace spolia
