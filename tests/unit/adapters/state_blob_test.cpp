#include "adapters/llama/state_blob.h"

#include <gtest/gtest.h>
#include <llama.h>

#include <cstring>
#include <random>
#include <vector>

#include "adapters/llama/span_prefill.h"
#include "tests/support/tiny_models.h"

namespace spolia {
namespace {

using testing::random_tokens;
using testing::tiny_model;
using testing::TinyContext;

using Bytes = std::vector<std::byte>;

Bytes state_of(llama_context* context, int32_t sequence) {
    Bytes state(llama_state_seq_get_size(context, sequence));
    state.resize(llama_state_seq_get_data(context, reinterpret_cast<uint8_t*>(state.data()),
                                          state.size(), sequence));
    return state;
}

Bytes copy(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }

// A blob of a sequence's rows, read from the KV tensors.
void fill(StateBlob& blob, const TinyContext& from, int32_t sequence, int32_t n_rows) {
    ASSERT_TRUE(blob.reset(n_rows).ok());
    for (int32_t layer = 0; layer < from.layout.n_layer; ++layer) {
        from.cache->tensors().read(layer, sequence, 0, blob.k(layer), blob.v(layer));
    }
}

// Our blob as llama.cpp writes it for another sequence: with that sequence's id in the header and
// in every cell, and its stream behind the empty ones before it.
Bytes for_sequence(std::span<const std::byte> blob, int32_t sequence, int32_t n_rows) {
    Bytes moved = copy(blob);
    const auto put = [&](size_t at) { std::memcpy(moved.data() + at, &sequence, sizeof sequence); };
    put(4);
    for (int32_t row = 0; row < n_rows; ++row) put(16 + static_cast<size_t>(row) * 12 + 8);
    const size_t streams_before = static_cast<size_t>(sequence) * sizeof(uint32_t);
    moved.resize(moved.size() - streams_before);
    moved.insert(moved.begin() + 12, streams_before, std::byte{0});
    return moved;
}

constexpr int32_t kRows = 6;  // of the states that are damaged

class StateBlobTest : public ::testing::Test {
protected:
    TinyContext context_{tiny_model("llama"), 3, 256};
    StateBlob blob_{context_.layout, 3};
    std::mt19937 generator_{40};
};

TEST_F(StateBlobTest, IsByteForByteWhatLlamaWrites) {
    for (const int32_t sequence : {0, 1, 2}) {
        for (const int32_t n_rows : {1, 2, 63, 100, 256}) {
            SCOPED_TRACE("sequence " + std::to_string(sequence) + ", rows " +
                         std::to_string(n_rows));
            ASSERT_TRUE(
                context_.cache->append(sequence, random_tokens(generator_, n_rows), {}).ok());
            fill(blob_, context_, sequence, n_rows);
            EXPECT_EQ(state_of(context_.context, sequence),
                      for_sequence(blob_.bytes(), sequence, n_rows));
            context_.cache->truncate(sequence, 0);
        }
    }
}

TEST_F(StateBlobTest, HandsRowsToAnySequence) {
    for (const int32_t n_rows : {1, 7, 256}) {
        ASSERT_TRUE(context_.cache->append(0, random_tokens(generator_, n_rows), {}).ok());
        fill(blob_, context_, 0, n_rows);
        for (const int32_t sequence : {2, 1, 0}) {
            ASSERT_TRUE(blob_.hand_over(context_.context, sequence).ok());
            EXPECT_EQ(state_of(context_.context, sequence),
                      for_sequence(blob_.bytes(), sequence, n_rows));
        }
        context_.cache->truncate(0, 0);
    }
}

TEST_F(StateBlobTest, ReplacesWhatTheSequenceHeld) {
    ASSERT_TRUE(context_.cache->append(1, random_tokens(generator_, 90), {}).ok());
    ASSERT_TRUE(context_.cache->append(0, random_tokens(generator_, 5), {}).ok());
    fill(blob_, context_, 0, 5);
    ASSERT_TRUE(blob_.hand_over(context_.context, 1).ok());
    EXPECT_EQ(llama_memory_seq_pos_max(llama_get_memory(context_.context), 1), 4);
    EXPECT_EQ(state_of(context_.context, 1), for_sequence(blob_.bytes(), 1, 5));
}

TEST_F(StateBlobTest, RefusedWhereTheRowsDontFit) {
    ASSERT_TRUE(blob_.reset(257).ok());
    std::memset(blob_.k(0).data(), 0, blob_.k(0).size_bytes());
    const Status status = blob_.hand_over(context_.context, 0);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kInternal);
    EXPECT_EQ(llama_memory_seq_pos_max(llama_get_memory(context_.context), 0), -1);
}

TEST_F(StateBlobTest, ParsesAndKeepsAState) {
    for (const int32_t n_rows : {1, 30}) {
        ASSERT_TRUE(context_.cache->append(0, random_tokens(generator_, n_rows), {}).ok());
        const Bytes state = state_of(context_.context, 0);
        ASSERT_TRUE(blob_.parse(state, n_rows).ok());
        EXPECT_EQ(copy(blob_.bytes()), state);
        context_.cache->truncate(0, 0);
    }
}

TEST_F(StateBlobTest, RefusesADamagedState) {
    ASSERT_TRUE(context_.cache->append(0, random_tokens(generator_, kRows), {}).ok());
    const Bytes state = state_of(context_.context, 0);
    const auto refused = [&](const Bytes& damaged, int32_t n_rows = kRows) {
        const Status status = blob_.parse(damaged, n_rows);
        return !status.ok() && status.error().code == ErrorCode::kUnsupported;
    };
    EXPECT_FALSE(refused(state));
    EXPECT_TRUE(refused(state, kRows - 1));
    EXPECT_TRUE(refused(state, kRows + 1));
    for (const size_t size : {size_t{0}, size_t{1}, size_t{20}, state.size() - 1}) {
        EXPECT_TRUE(
            refused(Bytes(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(size))));
    }
    Bytes longer = state;
    longer.push_back(std::byte{0});
    EXPECT_TRUE(refused(longer));

    // Every byte of the header and of the layers' headers counts.
    const size_t header = 16 + kRows * 12 + 8;
    const size_t k_bytes = context_.layout.k_row_bytes() * kRows;
    for (size_t at = 0; at < header + 12; ++at) {
        Bytes damaged = state;
        damaged[at] ^= std::byte{0x40};
        EXPECT_TRUE(refused(damaged)) << "byte " << at;
    }
    for (size_t at = header + 12 + k_bytes; at < header + 24 + k_bytes; ++at) {
        Bytes damaged = state;
        damaged[at] ^= std::byte{1};
        EXPECT_TRUE(refused(damaged)) << "byte " << at;
    }
    // Rows may be anything, and so may not the ends of other streams.
    Bytes other_rows = state;
    other_rows[header + 12] ^= std::byte{1};
    EXPECT_FALSE(refused(other_rows));
    Bytes other_streams = state;
    other_streams.back() ^= std::byte{1};
    EXPECT_TRUE(refused(other_streams));
}

}  // namespace
}  // namespace spolia
