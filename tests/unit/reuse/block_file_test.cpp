#include "reuse/block_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "tests/unit/reuse/store_fixture.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace spolia {
namespace {

using test::make_block;

std::vector<std::byte> file_of(const KvBlock& block) {
    std::vector<std::byte> file = encode_block_header(block);
    file.insert(file.end(), block.data().begin(), block.data().end());
    return file;
}

// Reads a file as the store does; null when any check fails.
std::unique_ptr<KvBlock> parse(std::span<const std::byte> file) {
    const auto offset =
        payload_offset(file.first(std::min(file.size(), kBlockPrefixBytes)), file.size());
    if (!offset.ok()) {
        EXPECT_EQ(offset.error().code, ErrorCode::kCorrupt);
        return nullptr;
    }
    const auto header = decode_block_header(file.first(*offset), file.size());
    if (!header.ok()) {
        EXPECT_EQ(header.error().code, ErrorCode::kCorrupt);
        return nullptr;
    }
    auto block = std::make_unique<KvBlock>(header->meta);
    const auto payload = file.subspan(header->payload_offset);
    EXPECT_EQ(payload.size(), block->data().size());
    std::memcpy(block->data().data(), payload.data(), payload.size());
    return payload_intact(*header, *block) ? std::move(block) : nullptr;
}

TEST(BlockFile, GivesBackWhatWentIn) {
    for (uint64_t id = 0; id < 20; ++id) {
        const auto block = make_block(id, id, static_cast<Provenance>(id % 4));
        const std::vector<std::byte> file = file_of(*block);
        EXPECT_EQ(file.size(), block_file_bytes(block->meta()));
        EXPECT_EQ((file.size() - block->data().size()) % 64, 0u);
        const auto read = parse(file);
        ASSERT_NE(read, nullptr);
        EXPECT_TRUE(test::is_block(*read, id, id));
        EXPECT_EQ(read->meta().provenance, block->meta().provenance);
        EXPECT_EQ(read->meta().model, block->meta().model);
        EXPECT_EQ(read->meta().layout, block->meta().layout);
    }
}

TEST(BlockFile, HasTheLayoutThatItsHeaderTells) {
    const auto block = make_block(7, 0, Provenance::kContextual);
    const std::vector<std::byte> file = file_of(*block);
    const auto u32 = [&](size_t at) {
        uint32_t value = 0;
        for (size_t i = 0; i < 4; ++i) {
            value |= std::to_integer<uint32_t>(file[at + i]) << (8 * i);
        }
        return value;
    };
    EXPECT_EQ(std::memcmp(file.data(), "SPOLIAKV", 8), 0);
    EXPECT_EQ(u32(8), kBlockFileVersion);
    EXPECT_EQ(u32(12), 2u);
    EXPECT_EQ(u32(16), 0x2222u);
    EXPECT_EQ(u32(24), 0x1111u);
    EXPECT_EQ(u32(32), 7u);
    EXPECT_EQ(u32(48), 5u);
    EXPECT_EQ(u32(64), 2u);
    EXPECT_EQ(u32(68), 8u);
    EXPECT_EQ(u32(72), 4u);
    EXPECT_EQ(u32(76), 5u);
    EXPECT_EQ(u32(80), 1u);
    EXPECT_EQ(u32(88), block->data().size());
    EXPECT_EQ(u32(112), 700u);
}

TEST(BlockFile, NoticesEveryFlippedBit) {
    const std::vector<std::byte> whole = file_of(*make_block(3));
    for (size_t at = 0; at < whole.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::vector<std::byte> damaged = whole;
            damaged[at] ^= std::byte{1} << bit;
            ASSERT_EQ(parse(damaged), nullptr) << "byte " << at << " bit " << bit;
        }
    }
}

TEST(BlockFile, NoticesEveryCutAndEveryAddition) {
    std::vector<std::byte> file = file_of(*make_block(3));
    file.push_back(std::byte{0});
    ASSERT_EQ(parse(file), nullptr);
    for (size_t size = 0; size + 1 < file.size(); ++size) {
        ASSERT_EQ(parse(std::span(file).first(size)), nullptr) << size;
    }
}

TEST(BlockFile, NoticesZeroedRanges) {
    const std::vector<std::byte> whole = file_of(*make_block(3));
    for (size_t begin = 0; begin < whole.size(); begin += 16) {
        std::vector<std::byte> damaged = whole;
        std::fill(damaged.begin() + static_cast<std::ptrdiff_t>(begin), damaged.end(),
                  std::byte{0});
        ASSERT_EQ(parse(damaged), nullptr) << begin;
    }
}

TEST(BlockFile, BoundsWhatAHeaderMayClaim) {
    const std::vector<std::byte> whole = file_of(*make_block(3));
    for (const size_t field : {64, 68, 72, 76, 88}) {
        std::vector<std::byte> huge = whole;
        std::fill_n(huge.begin() + static_cast<std::ptrdiff_t>(field), 4, std::byte{0xff});
        EXPECT_FALSE(payload_offset(std::span(huge).first(kBlockPrefixBytes), huge.size()).ok());
    }
}

TEST(BlockFile, SurvivesTheFuzzCorpus) {
    size_t n = 0;
    const std::filesystem::path corpus = std::filesystem::path(SPOLIA_FUZZ_CORPUS) / "block_file";
    for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
        const std::string bytes = test::read_file(entry.path());
        EXPECT_EQ(
            LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()),
            0);
        ++n;
    }
    EXPECT_GE(n, 5u);
}

}  // namespace
}  // namespace spolia
