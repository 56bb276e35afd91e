#include "broker/rag/document_cutter.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace spolia {
namespace {

constexpr DocumentCutterOptions kOptions;

std::vector<DocumentChunk> cut(std::vector<std::string> headings, std::string text) {
    Document document;
    document.sections.push_back({std::move(headings), std::move(text)});
    std::vector<DocumentChunk> chunks;
    cut_document(document, kOptions,
                 [&](DocumentChunk chunk) { chunks.push_back(std::move(chunk)); });
    return chunks;
}

std::string sentence(std::mt19937& random) {
    std::string text;
    const auto n_words = 4 + random() % 12;
    for (size_t i = 0; i < n_words; ++i) {
        text += i == 0 ? "" : " ";
        for (size_t j = 0; j < 2 + random() % 8; ++j) {
            text += static_cast<char>('a' + random() % 26);
        }
    }
    return text + ". ";
}

std::string prose(std::mt19937& random, size_t n_sentences) {
    std::string text;
    for (size_t i = 0; i < n_sentences; ++i) {
        text += sentence(random);
        if (random() % 6 == 0) text += "\n\n";
    }
    return text;
}

std::string without_spaces(std::string text) {
    std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
    return text;
}

TEST(DocumentCutter, PutsTheHeadingInFront) {
    const auto chunks = cut({"Title", "Part"}, "  Text.\n");
    ASSERT_EQ(chunks.size(), 1u);
    EXPECT_EQ(chunks[0].heading, "Title > Part");
    EXPECT_EQ(chunks[0].text, "Title > Part\n\nText.\n");
    EXPECT_EQ(cut({}, "Text.").at(0).text, "Text.\n");
    // Of paths that are too long the end is what tells sections apart.
    const std::string deep(100, 'h');
    EXPECT_TRUE(cut({deep, deep, deep, deep, deep, deep, deep, "Last"}, "x")
                    .at(0)
                    .heading.ends_with(deep + " > Last"));
}

TEST(DocumentCutter, KeepsAllTextInChunksOfTheirSize) {
    const auto seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 50; ++round) {
        const std::string text = prose(random, random() % 400 + 1);
        const auto chunks = cut({"Head"}, text);
        std::string joined;
        for (const DocumentChunk& chunk : chunks) {
            EXPECT_LE(chunk.text.size(), kOptions.bytes_max);
            EXPECT_GE(chunk.text.size(), chunks.size() > 1 ? kOptions.bytes_min / 2 : 0);
            ASSERT_TRUE(chunk.text.starts_with("Head\n\n"));
            joined += chunk.text.substr(6);
        }
        EXPECT_EQ(without_spaces(joined), without_spaces(text));
    }
}

TEST(DocumentCutter, CutsAtParagraphsBeforeSentences) {
    std::string text;
    for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 30; ++j) text += "A sentence of some words. ";
        text += "\n\n";
    }
    for (const DocumentChunk& chunk : cut({}, text)) {
        EXPECT_TRUE(chunk.text.ends_with("words.\n"));
    }
    const auto chunks = cut({}, text);
    ASSERT_EQ(chunks.size(), 2u);
    EXPECT_EQ(chunks[0].text, chunks[1].text) << "two paragraphs each";
}

TEST(DocumentCutter, CutsTextWithoutAnyPlaceToCut) {
    const auto letters = cut({}, std::string(10'000, 'x'));
    size_t n = 0;
    for (const DocumentChunk& chunk : letters) n += chunk.text.size() - 1;
    EXPECT_EQ(n, 10'000u);
    // Never inside of a character.
    std::string wide;
    for (int i = 0; i < 3000; ++i) wide += "水";
    for (const DocumentChunk& chunk : cut({}, wide)) EXPECT_EQ((chunk.text.size() - 1) % 3, 0u);
}

// An edit at the front moves the cuts behind it for a few chunks only.
TEST(DocumentCutter, CutsAlikeBehindAnEdit) {
    std::mt19937 random(7);
    const std::string text = prose(random, 1500);
    std::vector<std::string> before, after;
    for (DocumentChunk& chunk : cut({}, text)) before.push_back(std::move(chunk.text));
    for (DocumentChunk& chunk : cut({}, "One more sentence. " + text)) {
        after.push_back(std::move(chunk.text));
    }
    const auto n_same = std::ranges::count_if(after, [&](const std::string& chunk) {
        return std::ranges::find(before, chunk) != before.end();
    });
    EXPECT_GE(n_same * 10, static_cast<ptrdiff_t>(before.size()) * 7);
}

}  // namespace
}  // namespace spolia
