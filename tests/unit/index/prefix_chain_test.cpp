#include "index/prefix_chain.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

namespace spolia {
namespace {

const KeyScope kScope{{1, 2}, "salt"};

std::vector<Token> count_up(int n) {
    std::vector<Token> tokens(static_cast<size_t>(n));
    std::iota(tokens.begin(), tokens.end(), 100);
    return tokens;
}

TEST(PrefixChainTest, CountsWholePagesOnly) {
    for (const auto& [n_tokens, n_pages] :
         {std::pair{0, 0}, {1, 0}, {63, 0}, {64, 1}, {127, 1}, {128, 2}, {1000, 15}}) {
        EXPECT_EQ(prefix_chain(kScope, count_up(n_tokens)).size(), n_pages) << n_tokens;
    }
}

TEST(PrefixChainTest, EqualsKeysChainedByHand) {
    const std::vector<Token> tokens = count_up(3 * kPrefixPageRows + 5);
    const std::span<const Token> all = tokens;
    const Key128 first = chain_key(kScope, Key128{}, all.subspan(0, 64));
    const Key128 second = chain_key(kScope, first, all.subspan(64, 64));
    const Key128 third = chain_key(kScope, second, all.subspan(128, 64));
    EXPECT_EQ(prefix_chain(kScope, tokens), (std::vector<Key128>{first, second, third}));
}

TEST(PrefixChainTest, APageNamesAllTokensBeforeItsEnd) {
    const std::vector<Token> tokens = count_up(320);
    const std::vector<Key128> keys = prefix_chain(kScope, tokens);
    for (size_t changed = 0; changed < tokens.size(); changed += 21) {
        std::vector<Token> others = tokens;
        ++others[changed];
        const std::vector<Key128> other_keys = prefix_chain(kScope, others);
        for (size_t page = 0; page < keys.size(); ++page) {
            EXPECT_EQ(keys[page] == other_keys[page], page < changed / kPrefixPageRows)
                << "token " << changed << ", page " << page;
        }
    }
}

TEST(PrefixChainTest, TenantsShareNoPage) {
    const std::vector<Token> tokens = count_up(128);
    EXPECT_NE(prefix_chain(kScope, tokens)[0], prefix_chain({{1, 2}, "other"}, tokens)[0]);
}

}  // namespace
}  // namespace spolia
