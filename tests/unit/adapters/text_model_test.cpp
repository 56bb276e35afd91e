#include "adapters/llama/text_model.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <regex>

#include "tests/support/vocab_model.h"

namespace spolia {
namespace {

using testing::bpe_vocab;
using testing::load_vocab;
using testing::ModelPtr;
using testing::sentencepiece_vocab;
using testing::VocabModel;

struct NamedVocab {
    std::string name;
    VocabModel vocab;
};

std::vector<NamedVocab> vocabularies() {
    std::vector<NamedVocab> all = {
        {"spm", sentencepiece_vocab(false)},
        {"spm_prefix", sentencepiece_vocab(true)},
        {"spm_no_marker", sentencepiece_vocab(false, false)},
        {"spm_prefix_no_marker", sentencepiece_vocab(true, false)},
        {"bpe_qwen2", bpe_vocab("qwen2")},
        {"bpe_gpt2", bpe_vocab("gpt-2")},
        {"bpe_llama3", bpe_vocab("llama-bpe")},
    };
    all.push_back(all[1]);
    all.back().name = "spm_eos";
    all.back().vocab.add_eos = true;
    all.push_back(all[4]);
    all.back().name = "bpe_bos_eos";
    all.back().vocab.add_bos = all.back().vocab.add_eos = true;
    return all;
}

class EachVocabulary : public ::testing::TestWithParam<NamedVocab> {
protected:
    void SetUp() override {
        model_ = load_vocab(GetParam().vocab);
        ASSERT_NE(model_, nullptr);
        auto text_model = LlamaTextModel::create(model_.get(), "");
        ASSERT_TRUE(text_model.ok()) << text_model.error().message;
        text_model_ = std::move(*text_model);
    }

    std::vector<std::string> surfaces(const TokenizedText& tokenized) const {
        std::vector<std::string> surfaces;
        for (size_t i = 0; i < tokenized.tokens.size(); ++i) {
            const uint32_t begin = tokenized.byte_begin[i];
            surfaces.push_back(tokenized.text.substr(begin, tokenized.byte_begin[i + 1] - begin));
        }
        return surfaces;
    }

    ModelPtr model_;
    std::unique_ptr<LlamaTextModel> text_model_;
};

INSTANTIATE_TEST_SUITE_P(Vocabularies, EachVocabulary, ::testing::ValuesIn(vocabularies()),
                         [](const auto& tested) { return tested.param.name; });

std::string random_text(std::mt19937& random) {
    static const std::vector<std::string> pieces = {"a",
                                                    "the",
                                                    " the",
                                                    "The ",
                                                    "in",
                                                    " ",
                                                    "  ",
                                                    "\n",
                                                    "\n\n",
                                                    "\t",
                                                    "é",
                                                    "你好",
                                                    "🙂",
                                                    "👩‍👩‍👧",
                                                    "▁",
                                                    "x1",
                                                    ".",
                                                    "'s",
                                                    "<s>",
                                                    "</s>",
                                                    "<|im_start|>",
                                                    "<|im_end|>",
                                                    "<user defined>",
                                                    "<|im",
                                                    "[INST]",
                                                    "\r\n"};
    std::uniform_int_distribution<size_t> any(0, pieces.size() - 1);
    std::uniform_int_distribution<int> n_pieces(0, 12);
    std::string text;
    for (int left = n_pieces(random); left > 0; --left) text += pieces[any(random)];
    return text;
}

TEST_P(EachVocabulary, OffsetsTileTheText) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 2000; ++round) {
        const std::string text = random_text(random);
        const bool add_special = random() % 2 == 0;
        const bool parse_special = random() % 2 == 0;
        const auto tokenized = text_model_->tokenize(text, add_special, parse_special);
        ASSERT_TRUE(tokenized.ok()) << tokenized.error().message;
        ASSERT_EQ(tokenized->text, text);
        ASSERT_TRUE(tokenized->has_offsets()) << "text '" << text << "'";
        ASSERT_EQ(tokenized->byte_begin.front(), 0u);
        ASSERT_EQ(tokenized->byte_begin.back(), text.size());
        for (size_t i = 0; i < tokenized->tokens.size(); ++i) {
            ASSERT_LE(tokenized->byte_begin[i], tokenized->byte_begin[i + 1]);
        }
    }
}

// A token's bytes are its piece, but for the spaces that SentencePiece adds and writes its own way.
TEST_P(EachVocabulary, TokensStandWhereTheirPiecesAre) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 500; ++round) {
        const std::string text = random_text(random);
        if (text.find("▁") != std::string::npos) continue;
        const auto tokenized = text_model_->tokenize(text, true, true);
        ASSERT_TRUE(tokenized.ok() && tokenized->has_offsets());
        const std::vector<std::string> surfaces = this->surfaces(*tokenized);
        for (size_t i = 0; i < surfaces.size(); ++i) {
            const std::string piece = text_model_->piece(tokenized->tokens[i]);
            const bool byte_of_marker = piece.size() == 1 && (piece[0] & 0x80) != 0;
            if (piece.empty() || byte_of_marker) continue;
            EXPECT_TRUE(surfaces[i] == piece || " " + surfaces[i] == piece)
                << "token '" << piece << "' on '" << surfaces[i] << "' in '" << text << "'";
        }
    }
}

TEST_P(EachVocabulary, DetokenizeUndoesTokenize) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    // Without a token for it, a space comes back as SentencePiece's mark, as do spaces that it
    // adds.
    const bool marks_spaces = GetParam().name.find("no_marker") != std::string::npos;
    std::mt19937 random(seed);
    for (int round = 0; round < 500; ++round) {
        const std::string text = random_text(random);
        const bool looks_added =
            text.starts_with("<s>") || text.ends_with("</s>") || text.starts_with("<|im_start|>");
        if (looks_added || text.find("▁") != std::string::npos) continue;
        const auto tokenized = text_model_->tokenize(text, true, true);
        ASSERT_TRUE(tokenized.ok());
        const std::string again = text_model_->detokenize(tokenized->tokens);
        if (marks_spaces) {
            const std::regex spaces(" |▁");
            EXPECT_EQ(std::regex_replace(again, spaces, ""), std::regex_replace(text, spaces, ""));
        } else {
            EXPECT_EQ(again, text);
        }
    }
}

TEST_P(EachVocabulary, BrokenUtf8IsNoHarm) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 500; ++round) {
        std::string text(random() % 24, '\0');
        for (char& c : text) c = static_cast<char>(random() % 256);
        const auto tokenized = text_model_->tokenize(text, true, true);
        if (!tokenized.ok()) {
            EXPECT_EQ(tokenized.error().code, ErrorCode::kInvalidArgument);
            continue;
        }
        if (tokenized->has_offsets()) {
            EXPECT_EQ(tokenized->byte_begin.back(), text.size());
        }
    }
}

TEST_P(EachVocabulary, EmptyText) {
    const auto tokenized = text_model_->tokenize("", false, false);
    ASSERT_TRUE(tokenized.ok());
    EXPECT_TRUE(tokenized->tokens.empty());
    EXPECT_EQ(tokenized->byte_begin, std::vector<uint32_t>{0});
}

TEST_P(EachVocabulary, AddedTokensCoverNothing) {
    const auto tokenized = text_model_->tokenize("the", true, true);
    ASSERT_TRUE(tokenized.ok() && tokenized->has_offsets());
    const std::vector<std::string> surfaces = this->surfaces(*tokenized);
    if (GetParam().vocab.add_bos) {
        EXPECT_EQ(surfaces.front(), "");
    }
    if (GetParam().vocab.add_eos) {
        EXPECT_EQ(surfaces.back(), "");
        EXPECT_TRUE(text_model_->is_end(tokenized->tokens.back()));
    }
}

TEST_P(EachVocabulary, ControlTokensAreTheirText) {
    const auto tokenized = text_model_->tokenize("a<|im_end|>a", false, true);
    ASSERT_TRUE(tokenized.ok() && tokenized->has_offsets());
    const std::vector<std::string> surfaces = this->surfaces(*tokenized);
    const auto control = std::find(surfaces.begin(), surfaces.end(), "<|im_end|>");
    ASSERT_NE(control, surfaces.end());
    const Token token = tokenized->tokens[static_cast<size_t>(control - surfaces.begin())];
    EXPECT_EQ(text_model_->piece(token), "");
    EXPECT_EQ(text_model_->detokenize(std::vector<Token>{token}), "<|im_end|>");

    const auto as_text = text_model_->tokenize("a<|im_end|>a", false, false);
    ASSERT_TRUE(as_text.ok() && as_text->has_offsets());
    EXPECT_GT(as_text->tokens.size(), tokenized->tokens.size());
}

TEST_P(EachVocabulary, PiecesOfUnknownIdsAreEmpty) {
    EXPECT_EQ(text_model_->piece(-1), "");
    EXPECT_EQ(text_model_->piece(text_model_->n_vocab()), "");
    EXPECT_EQ(text_model_->n_vocab(), static_cast<int32_t>(GetParam().vocab.texts.size()));
}

TEST(LlamaTextModel, SpacePrefixIsNoPartOfTheText) {
    const ModelPtr model = load_vocab(sentencepiece_vocab(true));
    const auto text_model = LlamaTextModel::create(model.get(), "");
    ASSERT_TRUE(text_model.ok());
    const auto tokenized = (*text_model)->tokenize("the<|im_end|>  a", false, true);
    ASSERT_TRUE(tokenized.ok());
    EXPECT_EQ((*text_model)->piece(tokenized->tokens[0]), " the");
    ASSERT_TRUE(tokenized->has_offsets());
    EXPECT_EQ(tokenized->byte_begin[1], 3u);
    EXPECT_EQ(tokenized->byte_begin[2], 13u);
    EXPECT_EQ(tokenized->byte_begin.back(), 16u);
}

TEST(LlamaTextModel, RefusesHugeText) {
    const ModelPtr model = load_vocab(bpe_vocab());
    const auto text_model = LlamaTextModel::create(model.get(), "");
    ASSERT_TRUE(text_model.ok());
    const auto tokenized =
        (*text_model)->tokenize(std::string((size_t{64} << 20) + 1, 'a'), false, false);
    ASSERT_FALSE(tokenized.ok());
    EXPECT_EQ(tokenized.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(tokenized.error().message.find("67108865 bytes"), std::string::npos);
}

TEST(LlamaTextModel, RefusesBrokenTemplate) {
    const ModelPtr model = load_vocab(bpe_vocab());
    const auto text_model = LlamaTextModel::create(model.get(), "{% for %}");
    ASSERT_FALSE(text_model.ok());
    EXPECT_EQ(text_model.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(text_model.error().message.find("chat template can't be parsed"), std::string::npos);
}

TEST(LlamaTextModel, KnowsWhetherTheTemplateIsItsOwn) {
    VocabModel vocab = bpe_vocab();
    const ModelPtr without = load_vocab(vocab);
    vocab.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    const ModelPtr with = load_vocab(vocab);
    EXPECT_FALSE((*LlamaTextModel::create(without.get(), ""))->has_chat_template());
    EXPECT_TRUE((*LlamaTextModel::create(without.get(), vocab.chat_template))->has_chat_template());
    EXPECT_TRUE((*LlamaTextModel::create(with.get(), ""))->has_chat_template());
}

}  // namespace
}  // namespace spolia
