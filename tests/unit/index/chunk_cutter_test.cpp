#include "index/chunk_cutter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "index/fingerprint.h"
#include "tests/unit/index/toy_tokenizer.h"

namespace spolia {
namespace {

using Strings = std::vector<std::string>;

struct Cut {
    Strings chunks;  // their texts
    Strings glue;    // what is before, between and behind them
    std::vector<int32_t> sizes;
    std::vector<Key128> keys;
    int32_t n_tokens = 0;  // of the whole text

    int32_t chunk_tokens() const {
        int32_t sum = 0;
        for (const int32_t size : sizes) sum += size;
        return sum;
    }
};

Cut cut(const std::string& text, const ChunkerOptions& options = {}) {
    const TokenizedText prompt = testing::tokenize(text);
    Cut cut;
    cut.n_tokens = static_cast<int32_t>(prompt.tokens.size());
    size_t at = 0;
    for (const TokenSpan& span :
         cut_chunks(prompt, {0, static_cast<uint32_t>(text.size())}, options, false)) {
        const TextRange range = text_of(prompt, span);
        cut.glue.push_back(text.substr(at, range.begin - at));
        cut.chunks.push_back(text.substr(range.begin, range.end - range.begin));
        cut.sizes.push_back(span.size());
        cut.keys.push_back(
            chunk_key({}, std::span(prompt.tokens).subspan(span.begin, span.size())));
        at = range.end;
    }
    cut.glue.push_back(text.substr(at));
    return cut;
}

TEST(ChunkCutterTest, ShortTextIsNoChunk) {
    EXPECT_EQ(cut("only a few words").chunks, Strings{});
    EXPECT_EQ(cut("").chunks, Strings{});
}

TEST(ChunkCutterTest, SeparatorsAlwaysCut) {
    const std::string a = testing::make_document(1, 1, 40, 40);
    const std::string b = testing::make_document(2, 1, 40, 40);
    for (const std::string join : {"\n---\n", "\n\n====\n\n", "\n[2] ", "\nDocument 2:\n",
                                   "</doc><doc id=\"2\">", "\n</passage>\n<passage>\n"}) {
        const Strings chunks = cut(a + join + b).chunks;
        ASSERT_EQ(chunks.size(), 2u) << join;
        EXPECT_EQ(chunks[0] + ".", a) << join;
        EXPECT_NE(b.find(chunks[1]), std::string::npos) << join;
    }
}

TEST(ChunkCutterTest, ADocumentOfShortParagraphsIsPutTogether) {
    constexpr ChunkerOptions kOptions;
    const Cut found = cut(testing::make_document(5, 80, 3, 12), kOptions);
    const int32_t n_chunks = static_cast<int32_t>(found.chunks.size());
    ASSERT_GT(n_chunks, 2);
    EXPECT_GT(found.chunk_tokens(), 0.9 * found.n_tokens);
    EXPECT_GT(found.chunk_tokens() / n_chunks, 2 * kOptions.tokens_min);
    EXPECT_LT(found.chunk_tokens() / n_chunks, 5 * kOptions.tokens_min);
}

TEST(ChunkCutterTest, ATitleStaysWithItsText) {
    const std::string text = testing::make_document(1, 1, 90, 90) + "\n\nThe Second Title\n\n" +
                             testing::make_document(2, 1, 90, 90);
    const Strings chunks = cut(text).chunks;
    ASSERT_EQ(chunks.size(), 2u);
    EXPECT_TRUE(chunks[1].starts_with("The Second Title")) << chunks[1];
}

std::string make_sentences(std::string_view sentence_end, int n_sentences) {
    std::string text;
    for (int i = 0; i < n_sentences; ++i) {
        std::string sentence = testing::make_document(100 + static_cast<uint64_t>(i), 1, 8, 14);
        std::erase(sentence, '.');
        text.append(sentence).append(sentence_end);
    }
    return text;
}

TEST(ChunkCutterTest, LongTextIsCutAtLinesOrSentences) {
    for (const std::string end : {"\n", ". ", "。"}) {
        const Cut found = cut(make_sentences(end, 200), {.tokens_min = 16, .tokens_max = 256});
        ASSERT_GT(found.chunks.size(), 5u) << end;
        EXPECT_LE(*std::ranges::max_element(found.sizes), 256) << end;
        EXPECT_GT(found.chunk_tokens(), 0.9 * found.n_tokens) << end;
        for (size_t i = 1; i < found.chunks.size(); ++i) {
            EXPECT_NE(found.glue[i].find(end), std::string::npos) << found.glue[i];
        }
    }
}

TEST(ChunkCutterTest, TextWithoutAnyBoundaryIsCutAtTheMaximum) {
    Cut found = cut(make_sentences(" ", 100), {.tokens_min = 16, .tokens_max = 128});
    ASSERT_GT(found.sizes.size(), 5u);
    found.sizes.pop_back();  // what is left
    for (const int32_t size : found.sizes) {
        EXPECT_LE(size, 128);
        EXPECT_GE(size, 126);  // a first word's space is trimmed, and its token straddles then
    }
}

TEST(ChunkCutterTest, AnEditMovesTheCutsNearItOnly) {
    std::string text = testing::make_document(9, 60, 10, 60);
    const Cut before = cut(text);
    text.insert(text.find("\n\n", text.size() / 2), " And one more sentence.");
    const Cut after = cut(text);
    const std::set<Key128> known(before.keys.begin(), before.keys.end());
    EXPECT_GT(known.size(), 10u);
    const auto is_new = [&](const Key128& key) { return !known.contains(key); };
    EXPECT_LE(std::ranges::count_if(after.keys, is_new), 2);
}

// Documents as they come: some of few long paragraphs, some of many short ones, some with titles.
Strings make_documents(std::mt19937_64& random, int n) {
    Strings documents;
    for (int i = 0; i < n; ++i) {
        const int n_paragraphs = 3 + static_cast<int>(random() % 6);
        switch (random() % 3) {
            case 0:
                documents.push_back(testing::make_document(random(), n_paragraphs, 50, 150));
                break;
            case 1:
                documents.push_back(testing::make_document(random(), 2 * n_paragraphs, 15, 70));
                break;
            default:
                documents.push_back("# Title " + std::to_string(i) + "\n\n" +
                                    testing::make_document(random(), n_paragraphs, 30, 90));
        }
    }
    return documents;
}

struct JoinStyle {
    std::string_view open, close;
    bool numbered;
};

std::string join(const Strings& documents, const JoinStyle& style) {
    std::string text = "Use these documents.\n\n";
    for (size_t i = 0; i < documents.size(); ++i) {
        text.append(style.open);
        if (style.numbered) text += std::to_string(i + 1) + ": ";
        text.append(documents[i]).append(style.close);
    }
    return text;
}

// Share of the second text's chunk tokens whose chunk is in the first as well.
double kept_share(const Cut& first, const Cut& second) {
    const std::set<Key128> known(first.keys.begin(), first.keys.end());
    double kept = 0;
    for (size_t i = 0; i < second.keys.size(); ++i) {
        if (known.contains(second.keys[i])) kept += second.sizes[i];
    }
    return kept / second.chunk_tokens();
}

TEST(ChunkCutterTest, ShuffledDocumentsKeepTheirKeys) {
    constexpr JoinStyle kStyles[] = {{"", "\n\n", false},
                                     {"", "\n\n\n", false},
                                     {"", "\n\n---\n\n", false},
                                     {"", "\n=====\n", false},
                                     {"<doc>\n", "\n</doc>\n", false},
                                     {"<document>", "</document>", false},
                                     {"Document ", "\n\n", true},
                                     {"Source ", "\n", true}};
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (const JoinStyle& style : kStyles) {
        constexpr int kRounds = 24;
        double share = 0;
        for (int round = 0; round < kRounds; ++round) {
            Strings documents = make_documents(random, 12);
            const Cut first = cut(join(documents, style));
            std::ranges::shuffle(documents, random);
            share += kept_share(first, cut(join(documents, style))) / kRounds;
        }
        EXPECT_GE(share, 0.9) << style.open << "..." << style.close;
    }
}

}  // namespace
}  // namespace spolia
