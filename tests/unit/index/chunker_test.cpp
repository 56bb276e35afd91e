#include "index/chunker.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "index/registered_chunks.h"
#include "tests/unit/index/segment_invariants.h"
#include "tests/unit/index/toy_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace spolia {
namespace {

const KeyScope kScope{{1, 2}, "salt"};

// A prompt put together from texts with roles.
struct Prompt {
    std::string text;
    std::vector<TextSpan> spans;

    Prompt& add(SegmentRole role, std::string_view part) {
        const uint32_t begin = static_cast<uint32_t>(text.size());
        text += part;
        spans.push_back({begin, static_cast<uint32_t>(text.size()), role});
        return *this;
    }
};

Prompt chunk_prompt(std::string_view text) {
    Prompt prompt;
    prompt.text = "<|user|>\n";
    prompt.add(SegmentRole::kChunk, text);
    prompt.text += "<|end|>\n";
    return prompt;
}

std::vector<Segment> segment(const Prompt& prompt, const ChunkerOptions& options = {},
                             const RegisteredChunks* registered = nullptr) {
    return segment_prompt(testing::tokenize(prompt.text), prompt.spans, kScope, options,
                          registered);
}

std::vector<std::string> texts_of(const Prompt& prompt, SegmentRole role,
                                  const ChunkerOptions& options = {},
                                  const RegisteredChunks* registered = nullptr) {
    const TokenizedText tokens = testing::tokenize(prompt.text);
    std::vector<std::string> texts;
    for (const Segment& segment :
         segment_prompt(tokens, prompt.spans, kScope, options, registered)) {
        if (segment.role != role) continue;
        const uint32_t begin = tokens.byte_begin[segment.span.begin];
        texts.push_back(prompt.text.substr(begin, tokens.byte_begin[segment.span.end] - begin));
    }
    return texts;
}

using Strings = std::vector<std::string>;

constexpr ChunkerOptions kTiny{.tokens_min = 2, .tokens_max = 1024};

TEST(ChunkerTest, KeepsTheRolesOfSpans) {
    Prompt prompt;
    prompt.text = "<s>";
    prompt.add(SegmentRole::kFixed, "You help people");
    prompt.text += "\n--\n";
    prompt.add(SegmentRole::kChunk, "a document of words");
    prompt.text += "\n--\n";
    prompt.add(SegmentRole::kQuery, "what does it say");
    prompt.text += "\n";
    EXPECT_EQ(texts_of(prompt, SegmentRole::kFixed, kTiny), Strings{"You help people"});
    EXPECT_EQ(texts_of(prompt, SegmentRole::kChunk, kTiny), Strings{"a document of words"});
    EXPECT_EQ(texts_of(prompt, SegmentRole::kQuery, kTiny), Strings{"what does it say"});
    EXPECT_EQ(texts_of(prompt, SegmentRole::kGlue, kTiny),
              (Strings{"<s>", "\n--\n", "\n--\n", "\n"}));
}

TEST(ChunkerTest, StraddlingTokensAreGlue) {
    Prompt prompt;
    prompt.add(SegmentRole::kFixed, "one tw");
    prompt.add(SegmentRole::kChunk, "o three four five si");
    prompt.add(SegmentRole::kQuery, "x seven");
    EXPECT_EQ(texts_of(prompt, SegmentRole::kFixed, kTiny), Strings{"one"});
    EXPECT_EQ(texts_of(prompt, SegmentRole::kChunk, kTiny), Strings{" four five"});
    EXPECT_EQ(texts_of(prompt, SegmentRole::kQuery, kTiny), Strings{" seven"});
}

TEST(ChunkerTest, TakesTheLastParagraphOfAMessageForTheQuery) {
    const std::string documents = "first document of words\n\nsecond document of words";
    for (const char* border : {"\n\n", "\n \t\r\n", "\n\n\n"}) {
        Prompt prompt;
        prompt.add(SegmentRole::kQuery, documents + border + "what do they\nsay\n\n");
        const Strings queries = texts_of(prompt, SegmentRole::kQuery, kTiny);
        ASSERT_EQ(queries.size(), 1u);
        EXPECT_EQ(queries[0].substr(0, 16), "what do they\nsay");
        // The documents become the chunks that they are as a part of their own.
        EXPECT_EQ(texts_of(prompt, SegmentRole::kChunk, kTiny),
                  texts_of(chunk_prompt(documents), SegmentRole::kChunk, kTiny));
    }
}

TEST(ChunkerTest, AQueryOfOneParagraphIsAllQuery) {
    for (const char* text :
         {"one\nparagraph of\nlines", "\n\n leading blank lines", "one\n\n \n"}) {
        Prompt prompt;
        prompt.add(SegmentRole::kQuery, text);
        EXPECT_EQ(texts_of(prompt, SegmentRole::kChunk, kTiny), Strings{}) << text;
        EXPECT_EQ(texts_of(prompt, SegmentRole::kQuery, kTiny).size(), 1u) << text;
    }
}

TEST(ChunkerTest, WithoutOffsetsEverythingIsQuery) {
    TokenizedText prompt = testing::tokenize("some words of text");
    prompt.byte_begin.clear();
    const std::vector<TextSpan> spans = {{0, 10, SegmentRole::kChunk}};
    const std::vector<Segment> segments = segment_prompt(prompt, spans, kScope, {}, nullptr);
    ASSERT_EQ(segments.size(), 1u);
    EXPECT_EQ(segments[0].role, SegmentRole::kQuery);
    EXPECT_EQ(segments[0].span, (TokenSpan{0, static_cast<int32_t>(prompt.tokens.size())}));
    EXPECT_TRUE(segment_prompt({}, {}, kScope, {}, nullptr).empty());
}

TEST(ChunkerTest, AChunksKeyDoesNotDependOnWhatIsAroundIt) {
    const std::string document = testing::make_document(1, 1, 60, 60);
    const std::vector<Segment> alone = segment(chunk_prompt(document));
    // Here the document's last full stop is one token with the line breaks behind it.
    const std::vector<Segment> first = segment(chunk_prompt(document + "\n\n---\n\nmore"));
    const std::vector<Segment> last = segment(chunk_prompt("Document 7:\n" + document));
    const auto key_of = [](const std::vector<Segment>& segments) {
        for (const Segment& segment : segments) {
            if (segment.role == SegmentRole::kChunk) return segment.key;
        }
        return Key128{};
    };
    EXPECT_NE(key_of(alone), Key128{});
    EXPECT_EQ(key_of(alone), key_of(first));
    EXPECT_EQ(key_of(alone), key_of(last));
}

TEST(ChunkerTest, ShortChunksAreGlue) {
    const std::vector<Segment> segments = segment(chunk_prompt("only a few words"));
    ASSERT_EQ(segments.size(), 1u);
    EXPECT_EQ(segments[0].role, SegmentRole::kGlue);
}

TEST(ChunkerTest, ABosIsNoPartOfAChunk) {
    const std::string document = testing::make_document(1, 1, 60, 60);
    const std::vector<TextSpan> spans = {
        {0, static_cast<uint32_t>(document.size()), SegmentRole::kChunk}};
    const auto bos = segment_prompt(testing::tokenize(document, true), spans, kScope, {}, nullptr);
    const auto plain = segment_prompt(testing::tokenize(document), spans, kScope, {}, nullptr);
    ASSERT_EQ(bos.size(), 3u);
    EXPECT_EQ(bos[0].role, SegmentRole::kGlue);
    EXPECT_EQ(bos[0].span.size(), 1);
    EXPECT_EQ(bos[1].key, plain[0].key);
}

TEST(ChunkerTest, RegisteredChunksAreFoundAnywhereButInTheQuery) {
    const std::string known = " the registered words stand here";
    RegisteredChunkSet::Builder builder;
    ASSERT_TRUE(builder.add(testing::tokenize(known).tokens).ok());
    const RegisteredChunkSet registered = std::move(builder).build();
    for (const SegmentRole role : {SegmentRole::kFixed, SegmentRole::kChunk, SegmentRole::kGlue}) {
        Prompt prompt;
        prompt.add(role, "Here" + known + " and" + known).add(SegmentRole::kQuery, "\nask" + known);
        const Strings chunks = texts_of(prompt, SegmentRole::kChunk, kTiny, &registered);
        EXPECT_EQ(chunks, (Strings{known, known})) << static_cast<int>(role);
    }
}

TEST(ChunkerTest, RegisteredChunksMayCrossSpansButNotIntoTheQuery) {
    const std::string known = " words across the border";
    RegisteredChunkSet::Builder builder;
    ASSERT_TRUE(builder.add(testing::tokenize(known).tokens).ok());
    const RegisteredChunkSet registered = std::move(builder).build();
    Prompt across;
    across.add(SegmentRole::kFixed, "Some words").add(SegmentRole::kChunk, known.substr(0, 8));
    across.add(SegmentRole::kFixed, known.substr(8));
    EXPECT_EQ(texts_of(across, SegmentRole::kChunk, kTiny, &registered), Strings{known});
    Prompt into_query;
    into_query.add(SegmentRole::kFixed, "Some" + known.substr(0, 13));
    into_query.add(SegmentRole::kQuery, known.substr(13));
    EXPECT_EQ(texts_of(into_query, SegmentRole::kChunk, kTiny, &registered), Strings{});
}

TEST(ChunkerTest, WhatIsBehindARegisteredChunkIsCutAsBefore) {
    const std::string a = testing::make_document(1, 1, 50, 50);
    const std::string b = testing::make_document(2, 1, 50, 50);
    RegisteredChunkSet::Builder builder;
    const std::string registered_text = a.substr(0, a.size() - 1);
    ASSERT_TRUE(builder.add(testing::tokenize(registered_text).tokens).ok());
    const RegisteredChunkSet registered = std::move(builder).build();
    const Prompt prompt = chunk_prompt(a + "\n\n" + b);
    const Strings expected = {registered_text, b.substr(0, b.size() - 1)};
    EXPECT_EQ(texts_of(prompt, SegmentRole::kChunk, {}, &registered), expected);
    EXPECT_EQ(texts_of(prompt, SegmentRole::kChunk), expected);
}

TEST(ChunkerTest, KeepsItsPromisesForAnyInput) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    constexpr std::string_view kParts[] = {"\n\n",  "\n",           "---\n", "<doc>",   "</doc>",
                                           "[1] ",  "Document 2: ", ". ",    "。",      "\xff",
                                           "# A\n", " word",        "12",    "\xe3\x80"};
    for (int round = 0; round < 300; ++round) {
        std::string text;
        for (uint64_t n = random() % 400; n > 0; --n) {
            if (random() % 16 == 0) text += static_cast<char>(random());
            text += random() % 3 == 0 ? kParts[random() % std::size(kParts)] : " plain";
        }
        std::vector<TextSpan> spans;
        for (uint32_t at = 0; at < text.size();) {
            const uint32_t begin = at + static_cast<uint32_t>(random() % 5);
            at = begin + static_cast<uint32_t>(random() % 900);
            if (at > text.size()) break;
            spans.push_back({begin, at, static_cast<SegmentRole>(random() % 4)});
        }
        ChunkerOptions options;
        options.tokens_min = 1 + static_cast<int32_t>(random() % 40);
        options.tokens_max = options.tokens_min + static_cast<int32_t>(random() % 200);
        const TokenizedText prompt = random() % 2 == 0
                                         ? testing::tokenize(text, random() % 2 == 0)
                                         : testing::tokenize_at_random(text, random());
        const auto segments = segment_prompt(prompt, spans, kScope, options, nullptr);
        ASSERT_EQ(testing::broken_promise(prompt, spans, kScope, options, {}, segments), "")
            << "round " << round;
    }
}

TEST(ChunkerTest, OptionsOutOfRangeAreSafe) {
    const Prompt prompt = chunk_prompt(testing::make_document(1, 5, 20, 60));
    for (const int32_t low : {INT32_MIN, -1, 0, 1, INT32_MAX}) {
        for (const int32_t high : {INT32_MIN, -1, 0, 1, 2, INT32_MAX}) {
            const std::vector<Segment> segments = segment(prompt, {low, high});
            ASSERT_FALSE(segments.empty());
            EXPECT_EQ(segments.back().span.end,
                      static_cast<int32_t>(testing::tokenize(prompt.text).tokens.size()));
        }
    }
}

TEST(ChunkerTest, TheFuzzCorpusPasses) {
    int n_files = 0;
    for (const auto& file : std::filesystem::directory_iterator(SPOLIA_FUZZ_CORPUS "/chunker")) {
        std::ifstream stream(file.path(), std::ios::binary);
        const std::string bytes(std::istreambuf_iterator<char>(stream), {});
        const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
        EXPECT_EQ(LLVMFuzzerTestOneInput(data, bytes.size()), 0) << file.path();
        ++n_files;
    }
    EXPECT_GE(n_files, 5);
}

}  // namespace
}  // namespace spolia
