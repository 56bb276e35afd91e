#include "adapters/tokenize_part.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "adapters/llama/text_model.h"
#include "tests/support/vocab_model.h"

namespace spolia {
namespace {

using testing::bpe_vocab;
using testing::load_vocab;
using testing::ModelPtr;
using testing::sentencepiece_vocab;
using testing::VocabModel;

class TokenizePart : public ::testing::Test {
protected:
    void load(const VocabModel& vocab) {
        model_ = load_vocab(vocab);
        ASSERT_NE(model_, nullptr);
        auto text = LlamaTextModel::create(model_.get(), "");
        ASSERT_TRUE(text.ok()) << text.error().message;
        text_ = std::move(*text);
    }

    std::string settled_text(const std::string& part) const {
        const auto tokenized = tokenize_part(*text_, part);
        EXPECT_TRUE(tokenized.ok());
        const TextRange range = tokenized->settled;
        return tokenized->text.text.substr(range.begin, range.end - range.begin);
    }

    std::vector<Token> settled_tokens(const std::string& part) const {
        const auto tokenized = tokenize_part(*text_, part);
        EXPECT_TRUE(tokenized.ok());
        const TokenSpan span = tokens_inside(tokenized->text, tokenized->settled);
        const auto begin = tokenized->text.tokens.begin();
        return {begin + span.begin, begin + span.end};
    }

    bool stand_in(const std::vector<Token>& tokens, const std::string& prompt) const {
        const auto tokenized = text_->tokenize(prompt, true, true);
        EXPECT_TRUE(tokenized.ok());
        return !std::ranges::search(tokenized->tokens, tokens).empty();
    }

    ModelPtr model_;
    std::unique_ptr<LlamaTextModel> text_;
};

TEST_F(TokenizePart, LeavesOutAFirstWordThatASpaceIsPutTo) {
    load(sentencepiece_vocab(true));
    EXPECT_EQ(settled_text("the inner thing"), " inner thing");
    load(sentencepiece_vocab(false));
    EXPECT_EQ(settled_text("the inner thing"), "the inner thing");
    load(bpe_vocab());
    EXPECT_EQ(settled_text("the inner thing"), "the inner thing");
    EXPECT_EQ(settled_text(""), "");
}

// Words of letters, so that only the vocabulary's own space can join a part with what is before it.
TEST_F(TokenizePart, FindsItsTokensWhereverThePartStands) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::vector<std::string> words = {"the", "a", "in", "thing", "x", "interest"};
    for (const bool space_prefix : {true, false}) {
        load(sentencepiece_vocab(space_prefix));
        for (int round = 0; round < 200; ++round) {
            std::string part = words[random() % words.size()];
            const size_t n_words = 3 + random() % 9;
            for (size_t i = 0; i < n_words; ++i) part += ' ' + words[random() % words.size()];
            const std::vector<Token> tokens = settled_tokens(part);
            ASSERT_GE(tokens.size(), n_words - 1);
            std::vector<std::string> before = {"in\n", "in\n\n", "<|im_start|>\n"};
            if (space_prefix) {
                before.insert(before.end(), {"", "a ", "[INST]", "[INST] "});
            }
            for (const std::string& text : before) {
                EXPECT_TRUE(stand_in(tokens, text + part + "\nin")) << text << part;
            }
        }
    }
}

}  // namespace
}  // namespace spolia
