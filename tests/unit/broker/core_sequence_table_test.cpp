#include "broker/core/sequence_table.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "index/prefix_chain.h"

namespace spolia {
namespace {

std::vector<Token> tokens_from(Token first, int32_t n) {
    std::vector<Token> tokens(n);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
}

void run(SequenceTable& table, int32_t sequence, const std::string& salt, int32_t n_keep,
         const std::vector<Token>& tokens, int32_t n_exact) {
    table.begin(sequence, salt, n_keep);
    table.filled(sequence, tokens, n_exact);
    table.release(sequence);
}

TEST(SequenceTable, TakesTheLongestExactPrefix) {
    SequenceTable table(3);
    run(table, 0, "", 0, tokens_from(0, 50), 50);
    run(table, 1, "", 0, tokens_from(0, 80), 80);
    const auto match = table.choose(tokens_from(0, 100), "");
    ASSERT_TRUE(match);
    EXPECT_EQ(match->sequence, 1);
    EXPECT_EQ(match->n_exact, 80);
}

TEST(SequenceTable, DoesNotThrowAwayALongConversationForAShortPrefix) {
    SequenceTable table(2);
    std::vector<Token> conversation = tokens_from(0, 500);
    run(table, 0, "", 0, conversation, 500);
    std::vector<Token> other = tokens_from(0, 40);
    other.push_back(-1);
    EXPECT_EQ(table.choose(other, "")->sequence, 1);
    table.begin(1, "", 0);
    const auto only_one_idle = table.choose(other, "");
    EXPECT_EQ(only_one_idle->sequence, 0);
    EXPECT_EQ(only_one_idle->n_exact, 40);
}

TEST(SequenceTable, OtherwiseTakesTheOneUnusedForLongest) {
    SequenceTable table(3);
    run(table, 0, "", 0, tokens_from(0, 10), 10);
    run(table, 1, "", 0, tokens_from(100, 10), 10);
    run(table, 2, "", 0, tokens_from(200, 10), 10);
    run(table, 0, "", 10, tokens_from(0, 20), 20);
    EXPECT_EQ(table.choose(tokens_from(900, 5), "")->sequence, 1);
    table.clear(2);
    EXPECT_EQ(table.choose(tokens_from(900, 5), "")->sequence, 2) << "empty ones first";
}

TEST(SequenceTable, NeverOffersBusySequencesOrOtherTenantsRows) {
    SequenceTable table(2);
    run(table, 0, "a", 0, tokens_from(0, 50), 50);
    EXPECT_EQ(table.choose(tokens_from(0, 50), "b")->n_exact, 0);
    EXPECT_EQ(table.choose(tokens_from(0, 50), "")->n_exact, 0);
    EXPECT_EQ(table.choose(tokens_from(0, 50), "a")->n_exact, 50);
    table.begin(0, "a", 50);
    EXPECT_EQ(table.choose(tokens_from(0, 50), "a")->sequence, 1);
    table.begin(1, "a", 0);
    EXPECT_FALSE(table.choose(tokens_from(0, 50), "a"));
    EXPECT_EQ(table.n_busy(), 2);
}

TEST(SequenceTable, BelievesNothingBehindAComposedRow) {
    SequenceTable table(1);
    table.begin(0, "", 0);
    table.filled(0, tokens_from(0, 100), 30);
    table.append(0, 100);
    table.append(0, 101);
    table.release(0);
    EXPECT_EQ(table.n_rows(0), 102);
    EXPECT_EQ(table.n_exact(0), 30);
    EXPECT_EQ(table.choose(tokens_from(0, 102), "")->n_exact, 30);
}

TEST(SequenceTable, DecodedRowsBehindExactOnesAreExact) {
    SequenceTable table(1);
    table.begin(0, "", 0);
    table.filled(0, tokens_from(0, 10), 10);
    table.append(0, 10);
    table.release(0);
    EXPECT_EQ(table.n_exact(0), 11);
    EXPECT_EQ(table.choose(tokens_from(0, 11), "")->n_exact, 11);
}

TEST(SequenceTable, BelievesNothingOfAPrefillUnderWay) {
    SequenceTable table(1);
    run(table, 0, "", 0, tokens_from(0, 100), 100);
    table.begin(0, "", 20);
    EXPECT_EQ(table.n_exact(0), 20);
    table.clear(0);
    EXPECT_EQ(table.n_exact(0), 0);
    EXPECT_FALSE(table.busy(0));
}

TEST(SequenceTable, OffersWholeExactPagesOnceEach) {
    SequenceTable table(2);
    const KeyScope scope{{7, 7}, "t"};
    const std::vector<Token> tokens = tokens_from(0, 3 * kPrefixPageRows + 5);
    const std::vector<Key128> keys = prefix_chain(scope, tokens);
    table.begin(0, "t", 0);
    table.filled(0, tokens, 2 * kPrefixPageRows + 9);
    EXPECT_FALSE(table.has_page()) << "busy";
    table.release(0);
    for (int32_t i = 0; i < 2; ++i) {
        const auto page = table.next_page();
        ASSERT_TRUE(page);
        EXPECT_EQ(page->begin, i * kPrefixPageRows);
        const Key128 key = chain_key(scope, page->previous, page->tokens);
        EXPECT_EQ(key, keys[i]);
        table.page_kept(0, key);
    }
    EXPECT_FALSE(table.next_page()) << "the third page is not exact to its end";

    table.begin(0, "t", kPrefixPageRows + 1);
    table.filled(0, tokens, static_cast<int32_t>(tokens.size()));
    table.release(0);
    ASSERT_TRUE(table.next_page());
    EXPECT_EQ(table.next_page()->begin, kPrefixPageRows) << "the first is known to be kept";
    EXPECT_EQ(table.next_page()->previous, keys[0]);
    table.skip_pages(0);
    EXPECT_FALSE(table.has_page());
}

}  // namespace
}  // namespace spolia
