#include "tests/contract/embedder_contract.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <thread>

namespace spolia::testing {

// Sums of a batch come in another order.
constexpr float kNear = 2e-3f;

void EmbedderContract::SetUp() {
    embedder_ = GetParam().make();
    ASSERT_NE(embedder_, nullptr);
    ASSERT_GT(embedder_->n_dims(), 0);
}

std::vector<float> EmbedderContract::embed(std::span<const std::string> texts) const {
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    Result<std::vector<float>> vectors = embedder_->embed(views);
    const size_t n = texts.size() * static_cast<size_t>(embedder_->n_dims());
    EXPECT_TRUE(vectors.ok()) << vectors.error().message;
    if (!vectors.ok()) return std::vector<float>(n);
    EXPECT_EQ(vectors->size(), n);
    vectors->resize(n);
    return *std::move(vectors);
}

namespace {

float length(std::span<const float> vector) {
    double square = 0;
    for (const float x : vector) square += double{x} * x;
    return static_cast<float>(std::sqrt(square));
}

float product(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
    return static_cast<float>(sum);
}

float distance(std::span<const float> a, std::span<const float> b) {
    float worst = 0;
    for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
    return worst;
}

std::string random_text(std::mt19937& generator, size_t n_words) {
    constexpr const char* kWords[] = {"the",  "otter", "swims", "river", "heron", "stands",
                                      "leg",  "taxes", "are",   "due",   "in",    "May",
                                      "cold", "42",    "été",   "水獺",  "fee",   "."};
    std::string text;
    for (size_t i = 0; i < n_words; ++i) {
        text += (i == 0 ? "" : " ") + std::string(kWords[generator() % std::size(kWords)]);
    }
    return text;
}

TEST_P(EmbedderContract, GivesEqualTextsEqualVectorsOfLengthOne) {
    const std::vector<float> first = embed_one("The otter swims in the river.");
    EXPECT_EQ(first, embed_one("The otter swims in the river."));
    EXPECT_NEAR(length(first), 1, 1e-5);
    const std::vector<float> other = embed_one("Taxes are due in May.");
    EXPECT_LT(product(first, other), 1 - 1e-4f) << "another text has another vector";
}

TEST_P(EmbedderContract, GivesBatchesTheVectorsOfTheirTexts) {
    std::mt19937 generator(17);
    std::vector<std::string> texts;
    for (size_t i = 0; i < 50; ++i) texts.push_back(random_text(generator, 1 + generator() % 25));
    texts[20] = "";
    const std::vector<float> together = embed(texts);
    const auto n_dims = static_cast<size_t>(embedder_->n_dims());
    for (size_t i = 0; i < texts.size(); ++i) {
        const std::span<const float> vector = std::span(together).subspan(i * n_dims, n_dims);
        EXPECT_LE(distance(vector, embed_one(texts[i])), kNear) << i << ": " << texts[i];
        EXPECT_NEAR(length(vector), texts[i].empty() ? 0 : 1, 1e-5);
    }
}

TEST_P(EmbedderContract, TakesAnyBytes) {
    EXPECT_TRUE(embed(std::span<const std::string>()).empty());
    for (const char* nothing : {"", " ", "\n\t "}) {
        const float size = length(embed_one(nothing));
        EXPECT_TRUE(size == 0 || std::abs(size - 1) < 1e-5f) << size;
    }
    EXPECT_EQ(length(embed_one("")), 0);
    std::mt19937 generator(4);
    for (size_t n : {1, 7, 300}) {
        std::string bytes(n, '\0');
        for (char& byte : bytes) byte = static_cast<char>(generator());
        const float size = length(embed_one(bytes));
        EXPECT_TRUE(size == 0 || std::abs(size - 1) < 1e-5f) << size;
    }
    EXPECT_NEAR(length(embed_one("otter \xff\xfe\xc3 river")), 1, 1e-5);
    EXPECT_NEAR(length(embed_one(std::string("otter\0river", 11))), 1, 1e-5);
}

TEST_P(EmbedderContract, TakesLongTexts) {
    std::mt19937 generator(5);
    const std::string text = random_text(generator, 600);
    const std::vector<float> vector = embed_one(text);
    EXPECT_NEAR(length(vector), 1, 1e-5);
    EXPECT_EQ(vector, embed_one(text));
    EXPECT_NEAR(length(embed_one(std::string(9000, 'x'))), 1, 1e-5);
}

TEST_P(EmbedderContract, IsToldApartByItsFingerprint) {
    const auto same = GetParam().make();
    const auto other = GetParam().make_other();
    ASSERT_TRUE(same && other);
    EXPECT_EQ(same->fingerprint(), embedder_->fingerprint());
    EXPECT_EQ(same->n_dims(), embedder_->n_dims());
    EXPECT_NE(other->fingerprint(), embedder_->fingerprint());
}

TEST_P(EmbedderContract, ServesManyThreads) {
    std::mt19937 generator(6);
    std::vector<std::string> texts;
    for (size_t i = 0; i < 12; ++i) texts.push_back(random_text(generator, 1 + i * 3));
    const std::vector<float> expected = embed(texts);
    std::atomic<int> n_wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            const std::vector<std::string_view> views(texts.begin(), texts.end());
            for (int round = 0; round < 3; ++round) {
                const Result<std::vector<float>> vectors = embedder_->embed(views);
                if (!vectors.ok() || distance(*vectors, expected) > kNear) ++n_wrong;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(n_wrong, 0);
}

}  // namespace
}  // namespace spolia::testing
