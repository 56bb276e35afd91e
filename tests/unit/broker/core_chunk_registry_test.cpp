#include "broker/core/chunk_registry.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

namespace spolia {
namespace {

constexpr Key128 kModel{11, 22};

class ChunkRegistryTest : public testing::Test {
protected:
    ChunkRegistryTest() {
        std::string pattern = (std::filesystem::temp_directory_path() / "spolia-XXXXXX").string();
        folder_ = mkdtemp(pattern.data());
        options_.file = folder_ / "chunks";
    }
    ~ChunkRegistryTest() override { std::filesystem::remove_all(folder_); }

    std::string bytes() const {
        std::ifstream file(options_.file, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(file), {});
    }
    void write(const std::string& bytes) const {
        std::ofstream(options_.file, std::ios::binary) << bytes;
    }

    std::filesystem::path folder_;
    ChunkRegistryOptions options_;
};

std::vector<Token> tokens_from(Token first, int32_t n) {
    std::vector<Token> tokens(n);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
}

TEST_F(ChunkRegistryTest, KeepsTenantsApart) {
    ChunkRegistry registry(options_, kModel);
    const std::vector<Token> tokens = tokens_from(0, 40);
    ASSERT_TRUE(registry.put("a", "first", tokens));
    const Key128 key = chunk_key({kModel, "a"}, tokens);
    ASSERT_TRUE(registry.get("a", key));
    EXPECT_EQ(registry.get("a", key)->name, "first");
    EXPECT_EQ(registry.get("a", key)->tokens, tokens);
    EXPECT_FALSE(registry.get("b", key));
    EXPECT_TRUE(registry.list("b").empty());
    EXPECT_FALSE(registry.erase("b", key));
    EXPECT_TRUE(registry.erase("a", key));
    EXPECT_FALSE(registry.erase("a", key));
    EXPECT_TRUE(registry.list("a").empty());
}

TEST_F(ChunkRegistryTest, RegisteringAgainRenames) {
    ChunkRegistry registry(options_, kModel);
    ASSERT_TRUE(registry.put("", "old", tokens_from(0, 40)));
    ASSERT_TRUE(registry.put("", "new", tokens_from(0, 40)));
    ASSERT_EQ(registry.list("").size(), 1u);
    EXPECT_EQ(registry.list("")[0].name, "new");
}

TEST_F(ChunkRegistryTest, RefusesBeyondItsBounds) {
    options_.chunks_max = 2;
    options_.tokens_max = 100;
    ChunkRegistry registry(options_, kModel);
    ASSERT_TRUE(registry.put("a", "", tokens_from(0, 60)));
    const Status too_many_tokens = registry.put("b", "", tokens_from(0, 41));
    ASSERT_FALSE(too_many_tokens);
    EXPECT_EQ(too_many_tokens.error().code, ErrorCode::kOverloaded);
    ASSERT_TRUE(registry.put("b", "", tokens_from(0, 40)));
    EXPECT_FALSE(registry.put("c", "", tokens_from(0, 1)));
    EXPECT_TRUE(registry.put("b", "known", tokens_from(0, 40)));
    EXPECT_TRUE(registry.erase("a", registry.list("a")[0].key));
    EXPECT_TRUE(registry.put("c", "", tokens_from(0, 60)));
}

TEST_F(ChunkRegistryTest, FindsRegisteredChunksInTheirTenantsPromptsOnly) {
    ChunkRegistry registry(options_, kModel);
    TokenizedText prompt;
    for (int i = 0; i < 60; ++i) {
        prompt.tokens.push_back(i);
        prompt.byte_begin.push_back(i);
        prompt.text.push_back('x');
    }
    prompt.byte_begin.push_back(60);
    const auto chunks = [&](const std::string& tenant) {
        int n = 0;
        for (const Segment& segment :
             registry.segment(prompt, {}, {kModel, tenant}, {.tokens_min = 8})) {
            if (segment.role != SegmentRole::kChunk) continue;
            EXPECT_EQ(segment.span, (TokenSpan{20, 40}));
            ++n;
        }
        return n;
    };
    EXPECT_EQ(chunks("a"), 0);
    ASSERT_TRUE(registry.put("a", "", tokens_from(20, 20)));
    EXPECT_EQ(chunks("a"), 1);
    EXPECT_EQ(chunks("b"), 0);
    ASSERT_TRUE(registry.erase("a", registry.list("a")[0].key));
    EXPECT_EQ(chunks("a"), 0);
}

TEST_F(ChunkRegistryTest, OutlivesTheProcess) {
    {
        ChunkRegistry registry(options_, kModel);
        EXPECT_TRUE(registry.open_warning().empty());
        ASSERT_TRUE(registry.put("a", "name", tokens_from(5, 40)));
        ASSERT_TRUE(registry.put("b", "", tokens_from(9, 3)));
        ASSERT_TRUE(registry.save());
    }
    ChunkRegistry registry(options_, kModel);
    EXPECT_TRUE(registry.open_warning().empty());
    ASSERT_EQ(registry.list("a").size(), 1u);
    EXPECT_EQ(registry.list("a")[0].name, "name");
    EXPECT_EQ(registry.list("a")[0].tokens, tokens_from(5, 40));
    EXPECT_EQ(registry.list("a")[0].key, chunk_key({kModel, "a"}, tokens_from(5, 40)));
    EXPECT_EQ(registry.list("b").size(), 1u);
    EXPECT_FALSE(std::filesystem::exists(options_.file.string() + ".new"));
}

TEST_F(ChunkRegistryTest, SetsADamagedFileAsideAndStartsAnew) {
    {
        ChunkRegistry registry(options_, kModel);
        ASSERT_TRUE(registry.put("a", "name", tokens_from(5, 40)));
        ASSERT_TRUE(registry.save());
    }
    const std::string whole = bytes();
    ASSERT_FALSE(whole.empty());
    for (size_t at = 0; at < whole.size(); at += 7) {
        for (const bool truncate : {false, true}) {
            std::string damaged = truncate ? whole.substr(0, at) : whole;
            if (!truncate) damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
            write(damaged);
            ChunkRegistry registry(options_, kModel);
            EXPECT_FALSE(registry.open_warning().empty()) << at;
            EXPECT_TRUE(registry.list("a").empty()) << at;
            EXPECT_FALSE(std::filesystem::exists(options_.file)) << at;
            EXPECT_TRUE(std::filesystem::exists(options_.file.string() + ".set-aside"));
            EXPECT_TRUE(registry.put("a", "again", tokens_from(5, 40)));
            EXPECT_TRUE(registry.save());
        }
    }
    ChunkRegistry registry(options_, kModel);
    EXPECT_EQ(registry.list("a").size(), 1u);
}

TEST_F(ChunkRegistryTest, AnotherModelsFileIsSetAside) {
    {
        ChunkRegistry registry(options_, kModel);
        ASSERT_TRUE(registry.put("", "", tokens_from(5, 40)));
        ASSERT_TRUE(registry.save());
    }
    ChunkRegistry registry(options_, Key128{1, 1});
    EXPECT_FALSE(registry.open_warning().empty());
    EXPECT_TRUE(registry.list("").empty());
}

TEST_F(ChunkRegistryTest, AnUnwritableFileIsAnErrorThatNamesIt) {
    options_.file = folder_ / "missing" / "chunks";
    ChunkRegistry registry(options_, kModel);
    ASSERT_TRUE(registry.put("", "", tokens_from(5, 40)));
    const Status saved = registry.save();
    ASSERT_FALSE(saved);
    EXPECT_EQ(saved.error().code, ErrorCode::kIo);
    EXPECT_NE(saved.error().message.find("missing"), std::string::npos);
    EXPECT_EQ(registry.list("").size(), 1u);
}

TEST_F(ChunkRegistryTest, WithoutAFileNothingIsWritten) {
    options_.file.clear();
    ChunkRegistry registry(options_, kModel);
    ASSERT_TRUE(registry.put("", "", tokens_from(5, 40)));
    EXPECT_TRUE(registry.save());
    EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace spolia
