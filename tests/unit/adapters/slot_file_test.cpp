#include "adapters/llama_server/slot_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>

#include "index/whole_file.h"
#include "tests/support/slot_bytes.h"
#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using test::SlotBytes;
using ::testing::HasSubstr;

Result<SlotFile> parse(const std::string& bytes, const KvLayout& layout) {
    return parse_slot_file(std::as_bytes(std::span(bytes)), layout);
}

Result<SlotFile> parse(const SlotBytes& slot) { return parse(slot.bytes(), slot.layout); }

std::string refusal(const SlotBytes& slot) {
    const Result<SlotFile> file = parse(slot);
    EXPECT_FALSE(file.ok());
    if (file.ok()) return {};
    EXPECT_EQ(file.error().code, ErrorCode::kUnsupported);
    return file.error().message;
}

// As our writer leaves it, rows included.
std::string written(SlotFileWriter& writer, const SlotBytes& slot) {
    EXPECT_TRUE(writer.begin(slot.tokens).ok());
    for (int32_t layer = 0; layer < slot.layout.n_layer; ++layer) {
        std::ranges::fill(writer.k(layer), 0);
        std::ranges::fill(writer.v(layer), 0);
        for (size_t row = 0; row < slot.tokens.size(); ++row) {
            writer.k(layer)[row * slot.layout.k_dim] = SlotBytes::value(layer, row, false);
            writer.v(layer)[row * slot.layout.v_dim] = SlotBytes::value(layer, row, true);
        }
    }
    return read_whole_file(writer.path()).value_or("");
}

class EveryVersion : public ::testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(SlotFile, EveryVersion, ::testing::Values(2, 3, 4));

TEST_P(EveryVersion, IsReadWithItsTokensInEitherForm) {
    for (const bool packed : {false, true}) {
        SlotBytes slot;
        slot.version = GetParam();
        slot.packed = packed;
        const Result<SlotFile> file = parse(slot);
        ASSERT_TRUE(file.ok()) << file.error().message;
        EXPECT_EQ(file->version, GetParam());
        EXPECT_EQ(file->tokens, slot.tokens);
        EXPECT_EQ(file->state.positions, slot.positions);
    }
}

TEST_P(EveryVersion, IsWrittenAsTheServerWrites) {
    const test::TestFolder folder;
    SlotBytes slot;
    slot.version = GetParam();
    slot.packed = false;
    slot.n_stream = 4;
    SlotFileWriter writer(folder.path / "slot.bin", slot.layout, {GetParam(), 4});
    EXPECT_EQ(written(writer, slot), slot.bytes());
}

TEST(SlotFile, FindsRowsWhereverTheirStreamStands) {
    SlotBytes slot;
    slot.n_stream = 4;
    slot.stream = 2;
    slot.sequence = 2;
    const std::string bytes = slot.bytes();
    const Result<SlotFile> file = parse(bytes, slot.layout);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->form().n_stream, 4);
    for (int32_t layer = 0; layer < slot.layout.n_layer; ++layer) {
        const auto first_of = [&](size_t begin) {
            uint16_t value = 0;
            std::memcpy(&value, bytes.data() + file->state_begin + begin, sizeof value);
            return value;
        };
        EXPECT_EQ(first_of(file->state.k[layer]), SlotBytes::value(layer, 0, false));
        EXPECT_EQ(first_of(file->state.v[layer]), SlotBytes::value(layer, 0, true));
    }
}

TEST(SlotFile, SaysWhatItDoesNotKnow) {
    EXPECT_THAT(refusal({.v_trans = 1}), HasSubstr("--flash-attn on"));
    EXPECT_THAT(refusal({.type = 8}), HasSubstr("--cache-type-k f16"));
    EXPECT_THAT(refusal({.n_media = 1}), HasSubstr("media"));
    EXPECT_THAT(refusal({.n_stream = 0}), HasSubstr("streams"));

    const SlotBytes slot;
    KvLayout deeper = slot.layout;
    deeper.n_layer = 3;
    EXPECT_THAT(parse(slot.bytes(), deeper).error().message, HasSubstr("2 layers, not 3"));
    KvLayout wider = slot.layout;
    wider.k_dim = 8;
    EXPECT_THAT(parse(slot.bytes(), wider).error().message, HasSubstr("rows of 8 bytes, not 16"));
    EXPECT_THAT(parse(slot.bytes() + '\0', slot.layout).error().message, HasSubstr("1 bytes more"));
    EXPECT_THAT(parse("GGUF", slot.layout).error().message, HasSubstr("ggsq"));
}

// Whatever is missing or changed, a file is refused or read within its bounds.
TEST(SlotFile, SurvivesDamage) {
    const SlotBytes slot;
    const std::string whole = slot.bytes();
    for (size_t size = 0; size < whole.size(); ++size) {
        EXPECT_FALSE(parse(whole.substr(0, size), slot.layout).ok()) << size;
    }
    const unsigned seed = 20;
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int i = 0; i < 2000; ++i) {
        std::string damaged = whole;
        damaged[random() % damaged.size()] = static_cast<char>(random());
        const Result<SlotFile> file = parse(damaged, slot.layout);
        if (!file.ok()) continue;
        EXPECT_LE(file->tokens.size(), damaged.size());
        for (const size_t begin : file->state.v) {
            EXPECT_LT(file->state_begin + begin, damaged.size());
        }
    }
}

TEST(SlotFile, TakesThePlaceOfTheOneBefore) {
    const test::TestFolder folder;
    SlotBytes slot{.packed = false};
    SlotFileWriter writer(folder.path / "slot.bin", slot.layout, {3, 1});
    for (const size_t n : {1000u, 3u, 40u, 2000u}) {
        slot.tokens.assign(n, 9);
        slot.positions.resize(n);
        std::iota(slot.positions.begin(), slot.positions.end(), 0);
        EXPECT_EQ(written(writer, slot), slot.bytes()) << n;
    }
    const auto mode = std::filesystem::status(writer.path()).permissions();
    EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(SlotFile, LeavesNothingBehindWhereThereIsNoRoom) {
    const test::TestFolder folder;
    const SlotBytes slot;
    SlotFileWriter writer(folder.path / "slot.bin", slot.layout, {3, 1});
    const std::vector<Token> many(100'000, 1);
    {
        // A disk that is full answers as a file that may not grow does.
        const auto handler = std::signal(SIGXFSZ, SIG_IGN);
        rlimit before{};
        getrlimit(RLIMIT_FSIZE, &before);
        const rlimit small{1 << 16, before.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        const Status begun = writer.begin(many);
        setrlimit(RLIMIT_FSIZE, &before);
        std::signal(SIGXFSZ, handler);
        ASSERT_FALSE(begun.ok());
        EXPECT_EQ(begun.error().code, ErrorCode::kIo);
        EXPECT_THAT(begun.error().message, HasSubstr("slot.bin"));
    }
    EXPECT_FALSE(std::filesystem::exists(writer.path()));
    EXPECT_TRUE(writer.begin(many).ok());
}

TEST(SlotFile, SaysWhereItCannotBeMade) {
    const SlotBytes slot;
    SlotFileWriter writer("/nowhere/slot.bin", slot.layout, {3, 1});
    EXPECT_THAT(writer.begin(slot.tokens).error().message,
                HasSubstr("can't open the slot file /nowhere/slot.bin"));
}

}  // namespace
}  // namespace spolia
