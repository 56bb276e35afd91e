#include "broker/rag/embedder_choice.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "index/hashed_embedder.h"
#include "tests/support/embedding_server.h"
#include "tests/support/word_embedder.h"

namespace spolia {
namespace {

std::string refusal(const EmbedderChoice& choice) {
    const auto embedder = open_embedder(choice, EmbedderUse::kServe);
    EXPECT_FALSE(embedder.ok());
    return embedder.ok() ? "" : embedder.error().message;
}

EmbedderChoice choice_of(const char* model, std::string url, std::string name = {},
                         std::string key_env = {}) {
    EmbedderChoice choice;
    choice.model = model;
    choice.url = std::move(url);
    choice.name = std::move(name);
    choice.key_env = std::move(key_env);
    return choice;
}

TEST(EmbedderChoiceTest, NeedsNoModel) {
    const auto embedder = open_embedder({}, EmbedderUse::kIngest);
    ASSERT_TRUE(embedder.ok());
    EXPECT_EQ((*embedder)->fingerprint(), make_hashed_embedder()->fingerprint());
}

TEST(EmbedderChoiceTest, RefusesWhatDoesNotGoTogether) {
    const auto refused_for = [](const EmbedderChoice& choice, const char* words) {
        const std::string message = refusal(choice);
        EXPECT_NE(message.find(words), message.npos) << message;
        EXPECT_EQ(message.find("--embedding"), message.npos) << "flags are the command's alone";
    };
    refused_for(choice_of("m.gguf", "http://x"), "leave out one");
    refused_for(choice_of("", "", "m"), "no URL of the server");
    refused_for(choice_of("", "", "", "KEY"), "no URL of the server");
    refused_for(choice_of("", "x"), "URL: expected a URL");
    refused_for(choice_of("", "https://x"), "https is not spoken");
    refused_for(choice_of("/missing/m.gguf", ""), "/missing/m.gguf");
}

TEST(EmbedderChoiceTest, TakesTheKeyFromTheEnvironment) {
    constexpr const char* kVariable = "SPOLIA_TEST_EMBEDDING_KEY";
    const test::WordEmbedder words;
    testing::StubServer server(testing::embeddings_of(words));
    const EmbedderChoice choice = choice_of("", server.url(), "m", kVariable);
    unsetenv(kVariable);
    EXPECT_NE(refusal(choice).find(kVariable), std::string::npos);
    setenv(kVariable, "bad\r\nX: SECRET", 1);
    EXPECT_EQ(refusal(choice).find("SECRET"), std::string::npos);
    EXPECT_TRUE(server.requests().empty());
    setenv(kVariable, "SECRET", 1);
    EXPECT_TRUE(open_embedder(choice, EmbedderUse::kServe).ok());
    EXPECT_NE(server.requests().back().head.find("Bearer SECRET"), std::string::npos);
    unsetenv(kVariable);
}

}  // namespace
}  // namespace spolia
