#include "index/fingerprint.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace spolia {
namespace {

const KeyScope kScope{{0x0123456789abcdef, 0xfedcba9876543210}, "tenant-a"};

std::vector<Token> ascending(int n) {
    std::vector<Token> tokens;
    for (int i = 0; i < n; ++i) tokens.push_back(i * 7);
    return tokens;
}

// Blocks are stored on disk under these keys: a change here loses every stored block.
TEST(FingerprintTest, KeysNeverChange) {
    EXPECT_EQ(hash_text("").hex(), "99aa06d3014798d86001c324468d497f");
    EXPECT_EQ(hash_text("spolia").hex(), "764f9c94040a2370a3e6bb547e737507");
    EXPECT_EQ(chunk_key(KeyScope{}, {}).hex(), "cb8ffb7c84a3491dd27e2d7f29369944");
    EXPECT_EQ(chunk_key(kScope, ascending(5)).hex(), "215ee2657027068826159bd81761be06");
    EXPECT_EQ(chunk_key(kScope, ascending(300)).hex(), "3fd87be007300e5a786ceb6736463130");
    EXPECT_EQ(chain_key(kScope, Key128{}, ascending(64)).hex(), "68cccadb0315df008a53e093d5034bb4");
    EXPECT_EQ(chain_key(kScope, Key128{1, 2}, ascending(64)).hex(),
              "0d58c48ae26ba0fc968b9cf152220a98");
}

TEST(FingerprintTest, EverythingInTheScopeCounts) {
    const std::vector<Token> tokens = ascending(40);
    std::vector<Token> other_tokens = tokens;
    other_tokens[39] ^= 1;
    KeyScope other_high = kScope, other_low = kScope, other_salt = kScope, no_salt = kScope;
    other_high.model.high ^= 1;
    other_low.model.low ^= 1;
    other_salt.tenant_salt = "tenant-b";
    no_salt.tenant_salt = "";
    const std::set<Key128> keys = {chunk_key(kScope, tokens),
                                   chunk_key(kScope, other_tokens),
                                   chunk_key(other_high, tokens),
                                   chunk_key(other_low, tokens),
                                   chunk_key(other_salt, tokens),
                                   chunk_key(no_salt, tokens),
                                   chunk_key(kScope, std::span(tokens).first(39)),
                                   chain_key(kScope, {}, tokens),
                                   chain_key(kScope, {0, 1}, tokens),
                                   chain_key(kScope, {1, 0}, tokens),
                                   scope_key(kScope),
                                   scope_key(other_high),
                                   scope_key(other_low),
                                   scope_key(other_salt),
                                   scope_key(no_salt)};
    EXPECT_EQ(keys.size(), 15u);
}

TEST(FingerprintTest, SaltAndIdsCanNotBeShifted) {
    // The last salt byte's move into the ids leaves the same bytes behind the header.
    const KeyScope long_salt{{}, std::string("abcd\x01\0\0\0", 8)};
    const KeyScope short_salt{{}, "abcd"};
    EXPECT_NE(chunk_key(long_salt, std::vector<Token>{5}),
              chunk_key(short_salt, std::vector<Token>{1, 5}));
}

TEST(FingerprintTest, BytesAndTextHashAlike) {
    const std::string text = "a\0b\xff";
    EXPECT_EQ(hash_text(text), hash_bytes(std::as_bytes(std::span(text))));
    EXPECT_NE(hash_text(text), hash_text(text + "x"));
}

TEST(FingerprintTest, OneFlippedBitChangesTheChecksum) {
    std::vector<std::byte> bytes(1000, std::byte{0x5a});
    const Key128 whole = hash_bytes(bytes);
    for (size_t i = 0; i < bytes.size(); i += 37) {
        bytes[i] ^= std::byte{1};
        EXPECT_NE(hash_bytes(bytes), whole) << "byte " << i;
        bytes[i] ^= std::byte{1};
    }
    EXPECT_EQ(hash_bytes(bytes), whole);
}

TEST(FingerprintTest, HexGoesThereAndBack) {
    EXPECT_EQ((Key128{0xa, 0xb0}).hex(), "000000000000000a00000000000000b0");
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int i = 0; i < 100; ++i) {
        const Key128 key{random(), random()};
        EXPECT_EQ(Key128::from_hex(key.hex()), key);
    }
}

TEST(FingerprintTest, HexTakesNothingElse) {
    const std::string good(32, 'F');
    EXPECT_EQ(Key128::from_hex(good), (Key128{~0ull, ~0ull}));
    EXPECT_FALSE(Key128::from_hex(""));
    EXPECT_FALSE(Key128::from_hex(good + "0"));
    EXPECT_FALSE(Key128::from_hex(good.substr(1)));
    for (const char wrong : {'g', ' ', '-', '+', 'x', '\0'}) {
        for (const size_t at : {0, 1, 15, 16, 31}) {
            std::string text = good;
            text[at] = wrong;
            EXPECT_FALSE(Key128::from_hex(text)) << at << ' ' << wrong;
        }
    }
}

}  // namespace
}  // namespace spolia
