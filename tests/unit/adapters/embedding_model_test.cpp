#include "adapters/llama/embedding_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/tiny_bert.h"
#include "tests/support/tiny_models.h"

namespace spolia {
namespace {

using testing::tiny_bert_path;
using testing::tiny_model_path;

std::unique_ptr<TextEmbedder> open(const std::string& path, int32_t n_window_tokens) {
    auto embedder =
        open_embedding_model(path, {.n_threads = 1, .n_window_tokens = n_window_tokens});
    EXPECT_TRUE(embedder.ok()) << embedder.error().message;
    return embedder.ok() ? *std::move(embedder) : nullptr;
}

std::vector<float> embed(const TextEmbedder& embedder, std::string_view text) {
    const auto vector = embedder.embed({&text, 1});
    EXPECT_TRUE(vector.ok()) << vector.error().message;
    return vector.ok() ? *vector : std::vector<float>(static_cast<size_t>(embedder.n_dims()));
}

// Of BERT's tiny vocabulary each letter that stands alone is a token.
std::string letters(size_t n, char letter) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += std::string(i == 0 ? "" : " ") + letter;
    return text;
}

TEST(EmbeddingModelTest, WeighsWindowsByTheirTokens) {
    const auto embedder = open(tiny_bert_path({}), 12);  // ten letters beside [CLS] and [SEP]
    ASSERT_NE(embedder, nullptr);
    const std::vector<float> first = embed(*embedder, letters(10, 'a'));
    const std::vector<float> second = embed(*embedder, letters(5, 'b'));
    std::vector<float> expected(first.size());
    double square = 0;
    for (size_t d = 0; d < first.size(); ++d) {
        expected[d] = 10 * first[d] + 5 * second[d];
        square += double{expected[d]} * expected[d];
    }
    const std::vector<float> both = embed(*embedder, letters(10, 'a') + " " + letters(5, 'b'));
    for (size_t d = 0; d < both.size(); ++d) {
        EXPECT_NEAR(both[d], expected[d] / std::sqrt(square), 1e-4);
    }
}

TEST(EmbeddingModelTest, HasNoMoreWindowThanTheModel) {
    const auto embedder = open(tiny_bert_path({.n_ctx = 16}), 4096);
    ASSERT_NE(embedder, nullptr);
    EXPECT_EQ(embedder->fingerprint(), open(tiny_bert_path({.n_ctx = 16}), 16)->fingerprint());
    EXPECT_NE(embedder->fingerprint(), open(tiny_bert_path({.n_ctx = 16}), 12)->fingerprint());
    EXPECT_NE(embed(*embedder, letters(40, 'c')), embed(*embedder, letters(14, 'c') + " d"));
}

TEST(EmbeddingModelTest, PoolsAsTheModelSays) {
    const auto mean = open(tiny_bert_path({.pooling = 1}), 64);
    const auto cls = open(tiny_bert_path({.pooling = 2}), 64);
    ASSERT_TRUE(mean && cls);
    EXPECT_NE(embed(*mean, "the otter swims"), embed(*cls, "the otter swims"))
        << "the weights are the same";
}

TEST(EmbeddingModelTest, TakesSpecialTokensInTextsForText) {
    const auto embedder = open(tiny_model_path(tiny_model_shape("llama")), 64);
    ASSERT_NE(embedder, nullptr);
    EXPECT_NE(embed(*embedder, "</s>"), embed(*embedder, "<s>"));
    EXPECT_NE(embed(*embedder, "</s>"), std::vector<float>(64));
}

TEST(EmbeddingModelTest, RefusesWhatMakesNoVectors) {
    const std::string reranker = tiny_bert_path({.pooling = 4});
    const auto refused = open_embedding_model(reranker, {});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(refused.error().message.find(reranker), std::string::npos);
    EXPECT_NE(refused.error().message.find("reranker"), std::string::npos);
    EXPECT_EQ(open_embedding_model("/missing.gguf", {}).error().code, ErrorCode::kNotFound);
    const auto narrow = open_embedding_model(tiny_bert_path({}), {.n_window_tokens = 2});
    ASSERT_FALSE(narrow.ok());
    EXPECT_EQ(narrow.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace spolia
