#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "broker/core/donor.h"
#include "broker/core/residence.h"
#include "index/segment.h"
#include "reuse/block_store.h"
#include "tests/support/fake_text_model.h"

namespace spolia::test {

inline std::vector<Token> bytes_as_tokens(const std::string& text) {
    std::vector<Token> tokens;
    for (const char byte : text) tokens.push_back(static_cast<uint8_t>(byte));
    return tokens;
}

// Text of words that no other number's text has; about `length` bytes.
inline std::string numbered_text(uint64_t number, size_t length) {
    std::mt19937_64 random(number);
    std::string text;
    while (text.size() < length) {
        for (uint64_t n = 3 + random() % 6; n > 0; --n) {
            text += static_cast<char>('a' + random() % 26);
        }
        text += ' ';
    }
    return text;
}

// Another text, of the same length, that differs by one byte.
inline std::string with_edit(std::string text, size_t at) {
    text[at] = text[at] == '#' ? '+' : '#';
    return text;
}

// Blocks of texts as a service makes them, of one model, with tiny rows.
class DonorStore {
public:
    static constexpr Key128 kModel{5, 6};

    explicit DonorStore(BlockStoreOptions options) : options_(std::move(options)) { open(); }

    void open() {
        auto opened = BlockStore::open(options_, kModel, kLayout);
        ASSERT_TRUE(opened.ok()) << opened.error().message;
        store_ = std::move(opened).value();
    }
    void close() { store_.reset(); }

    static Key128 key_of(const std::string& tenant, const std::string& text) {
        return chunk_key({kModel, tenant}, bytes_as_tokens(text));
    }
    static Key128 scope_of(const std::string& tenant) { return scope_key({kModel, tenant}); }

    // `scope`: what the block says of its tenant.
    void put(const std::string& tenant, const std::string& text, const Key128& scope) {
        BlockMeta meta;
        meta.key = key_of(tenant, text);
        meta.model = kModel;
        meta.left_context = scope;
        meta.layout = kLayout;
        meta.tokens = bytes_as_tokens(text);
        auto block = std::make_unique<KvBlock>(std::move(meta));
        std::ranges::fill(block->data(), std::byte{7});
        const auto inserted = store_->insert(std::move(block));
        EXPECT_TRUE(inserted.ok()) << inserted.error().message;
    }
    void put(const std::string& tenant, const std::string& text) {
        put(tenant, text, scope_of(tenant));
    }

    BlockStore& operator*() const { return *store_; }
    BlockStore* operator->() const { return store_.get(); }

    FindResidence residence() const {
        return [this](const Key128& key, std::span<const Token> tokens) {
            return store_->where(key, tokens) ? Residence::kRam : Residence::kAbsent;
        };
    }

private:
    static constexpr KvLayout kLayout{.n_layer = 1, .k_dim = 4, .v_dim = 4};

    const BlockStoreOptions options_;
    std::unique_ptr<BlockStore> store_;
};

// A prompt that is one chunk.
struct ChunkPrompt {
    ChunkPrompt(const std::string& tenant, const std::string& text)
        : tokens(bytes_as_tokens(text)),
          segments{{SegmentRole::kChunk,
                    {0, static_cast<int32_t>(tokens.size())},
                    DonorStore::key_of(tenant, text)}} {}

    std::vector<Token> tokens;
    std::vector<Segment> segments;
};

}  // namespace spolia::test
