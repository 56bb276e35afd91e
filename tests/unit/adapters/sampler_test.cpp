#include "adapters/llama/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "adapters/llama/text_model.h"
#include "tests/support/vocab_model.h"

namespace spolia {
namespace {

using testing::bpe_vocab;
using testing::load_vocab;
using testing::ModelPtr;
using testing::sentencepiece_vocab;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Samplers : public ::testing::Test {
protected:
    void SetUp() override {
        model_ = load_vocab(bpe_vocab());
        ASSERT_NE(model_, nullptr);
        auto text_model = LlamaTextModel::create(model_.get(), "");
        ASSERT_TRUE(text_model.ok());
        text_model_ = std::move(*text_model);
    }

    std::unique_ptr<Sampler> sampler(const SamplingParams& params,
                                     const GrammarSpec& grammar = {}) const {
        auto sampler = text_model_->make_sampler(params, grammar);
        EXPECT_TRUE(sampler.ok()) << sampler.error().message;
        return sampler.ok() ? std::move(*sampler) : nullptr;
    }

    std::string refusal(const SamplingParams& params, const GrammarSpec& grammar = {}) const {
        const auto sampler = text_model_->make_sampler(params, grammar);
        EXPECT_FALSE(sampler.ok());
        if (sampler.ok()) return "";
        EXPECT_EQ(sampler.error().code, ErrorCode::kInvalidArgument);
        return sampler.error().message;
    }

    std::vector<float> random_logits(std::mt19937& random) const {
        std::normal_distribution<float> normal(0.0f, 3.0f);
        std::vector<float> logits(static_cast<size_t>(text_model_->n_vocab()));
        for (float& logit : logits) logit = normal(random);
        return logits;
    }

    // The text that `sampler` draws from random logits until it ends.
    std::string generate(Sampler& sampler, std::mt19937& random, int n_tokens_max) const {
        std::string text;
        for (int i = 0; i < n_tokens_max; ++i) {
            const Token token = sampler.sample(random_logits(random));
            if (text_model_->is_end(token)) break;
            text += text_model_->piece(token);
        }
        return text;
    }

    Token token_of(const std::string& text) const {
        const auto tokenized = text_model_->tokenize(text, false, true);
        EXPECT_TRUE(tokenized.ok());
        EXPECT_EQ(tokenized->tokens.size(), 1u) << text;
        return tokenized->tokens.front();
    }

    ModelPtr model_;
    std::unique_ptr<LlamaTextModel> text_model_;
};

SamplingParams greedy() {
    SamplingParams params;
    params.temperature = 0.0f;
    return params;
}

Token argmax(const std::vector<float>& logits) {
    return static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

TEST_F(Samplers, GreedyIsArgmax) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto plain = sampler(greedy());
    SamplingParams negative = greedy();
    negative.temperature = -1.0f;
    const auto also_plain = sampler(negative);
    SamplingParams with_chain = greedy();
    with_chain.logit_bias = {{0, 0.0f}};
    const auto through_chain = sampler(with_chain);
    for (int i = 0; i < 50; ++i) {
        const std::vector<float> logits = random_logits(random);
        EXPECT_EQ(plain->sample(logits), argmax(logits));
        EXPECT_EQ(also_plain->sample(logits), argmax(logits));
        EXPECT_EQ(through_chain->sample(logits), argmax(logits));
    }
}

TEST_F(Samplers, SeedsAreReproducible) {
    SamplingParams params;
    params.temperature = 2.0f;
    params.seed = 42;
    const auto draw = [&](const SamplingParams& with) {
        const auto drawn = sampler(with);
        std::mt19937 random(7);
        std::vector<Token> tokens;
        for (int i = 0; i < 64; ++i) tokens.push_back(drawn->sample(random_logits(random)));
        return tokens;
    };
    EXPECT_EQ(draw(params), draw(params));
    SamplingParams other = params;
    other.seed = 43;
    EXPECT_NE(draw(params), draw(other));
    SamplingParams unseeded = params;
    unseeded.seed.reset();
    EXPECT_NE(draw(unseeded), draw(unseeded));
}

TEST_F(Samplers, TopKAndTopPAndMinPKeepTheLikeliest) {
    std::vector<float> logits(static_cast<size_t>(text_model_->n_vocab()), 0.0f);
    for (int i = 0; i < 5; ++i)
        logits[static_cast<size_t>(10 + i)] = 5.0f - 0.1f * static_cast<float>(i);
    const auto drawn = [&](const SamplingParams& params) {
        const auto drawing = sampler(params);
        std::set<Token> tokens;
        for (int i = 0; i < 400; ++i) tokens.insert(drawing->sample(logits));
        return tokens;
    };
    SamplingParams off;
    off.seed = 1;
    off.top_k = 0;
    off.top_p = 1.0f;
    off.min_p = 0.0f;
    EXPECT_GT(drawn(off).size(), 5u);
    SamplingParams top_k = off;
    top_k.top_k = 2;
    EXPECT_EQ(drawn(top_k), (std::set<Token>{10, 11}));
    SamplingParams min_p = off;
    min_p.min_p = 0.5f;
    EXPECT_EQ(drawn(min_p), (std::set<Token>{10, 11, 12, 13, 14}));
    SamplingParams top_p = off;
    top_p.top_p = 0.1f;
    EXPECT_EQ(drawn(top_p), (std::set<Token>{10}));
}

TEST_F(Samplers, BiasAndPenalties) {
    std::vector<float> logits(static_cast<size_t>(text_model_->n_vocab()), 0.0f);
    logits[20] = 3.0f;
    logits[21] = 2.0f;
    SamplingParams biased = greedy();
    biased.logit_bias = {{20, -100.0f}};
    EXPECT_EQ(sampler(biased)->sample(logits), 21);
    biased.logit_bias = {{30, 100.0f}, {20, -kInfinity}};
    EXPECT_EQ(sampler(biased)->sample(logits), 30);

    SamplingParams penalised = greedy();
    penalised.presence_penalty = 1.5f;
    const auto drawing = sampler(penalised);
    EXPECT_EQ(drawing->sample(logits), 20);
    EXPECT_EQ(drawing->sample(logits), 21);
    EXPECT_EQ(drawing->sample(logits), 20);
    penalised.repeat_last_n = -1;
    EXPECT_EQ(sampler(penalised)->sample(logits), 20);
}

TEST_F(Samplers, EndCanBeForbidden) {
    std::vector<float> logits(static_cast<size_t>(text_model_->n_vocab()), 0.0f);
    for (Token token = 0; token < text_model_->n_vocab(); ++token) {
        if (text_model_->is_end(token)) logits[static_cast<size_t>(token)] = 9.0f;
    }
    logits[5] = 1.0f;
    EXPECT_TRUE(text_model_->is_end(sampler(greedy())->sample(logits)));
    SamplingParams endless = greedy();
    endless.ignore_eos = true;
    EXPECT_EQ(sampler(endless)->sample(logits), 5);
}

TEST_F(Samplers, NonsenseIsRefused) {
    SamplingParams params;
    params.temperature = std::nanf("");
    EXPECT_EQ(refusal(params), "temperature must be a finite number");
    params = {};
    params.repeat_penalty = 0.0f;
    EXPECT_EQ(refusal(params), "repeat_penalty must be above 0");
    params = {};
    params.logit_bias = {{text_model_->n_vocab(), 1.0f}};
    EXPECT_NE(refusal(params).find("logit_bias names token"), std::string::npos);
    params.logit_bias = {{-1, 1.0f}};
    EXPECT_NE(refusal(params).find("logit_bias names token -1"), std::string::npos);
    params.logit_bias = {{1, std::nanf("")}};
    EXPECT_NE(refusal(params).find("must be a number"), std::string::npos);
}

TEST_F(Samplers, GrammarConstrains) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    GrammarSpec grammar;
    grammar.grammar = "root ::= (\"the \" | \"thin\")? [0-9]{3}";
    for (SamplingParams params : {SamplingParams(), greedy()}) {
        params.seed = seed;
        for (int i = 0; i < 20; ++i) {
            const auto drawing = sampler(params, grammar);
            std::string text = generate(*drawing, random, 64);
            if (text.starts_with("the ") || text.starts_with("thin")) text.erase(0, 4);
            EXPECT_EQ(text.size(), 3u);
            EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) {
                return c >= '0' && c <= '9';
            })) << text;
        }
    }
}

TEST_F(Samplers, GrammarKeepsWhatFits) {
    std::vector<float> logits(static_cast<size_t>(text_model_->n_vocab()), 0.0f);
    logits[static_cast<size_t>(token_of("x"))] = 9.0f;
    logits[static_cast<size_t>(token_of("a"))] = 5.0f;
    logits[static_cast<size_t>(token_of("b"))] = 4.0f;
    GrammarSpec grammar;
    grammar.grammar = "root ::= [ab] \"x\"";
    const auto drawing = sampler(greedy(), grammar);
    EXPECT_EQ(drawing->sample(logits), token_of("a"));
    EXPECT_EQ(drawing->sample(logits), token_of("x"));
    EXPECT_TRUE(text_model_->is_end(drawing->sample(logits)));
}

TEST_F(Samplers, EndsWhereTheGrammarLeavesNothing) {
    GrammarSpec grammar;
    grammar.grammar = "root ::= \"a\"";
    SamplingParams endless = greedy();
    endless.ignore_eos = true;
    const auto drawing = sampler(endless, grammar);
    std::mt19937 random(1);
    EXPECT_EQ(text_model_->piece(drawing->sample(random_logits(random))), "a");
    EXPECT_TRUE(text_model_->is_end(drawing->sample(random_logits(random))));
}

TEST_F(Samplers, LazyGrammarWaitsForItsTrigger) {
    GrammarSpec grammar;
    grammar.grammar = "root ::= \"<tool_call>\" [0-9] \"</tool_call>\"";
    grammar.lazy = true;
    grammar.trigger_tokens = {token_of("<tool_call>")};
    const auto drawing = sampler(greedy(), grammar);
    std::vector<float> logits(static_cast<size_t>(text_model_->n_vocab()), 0.0f);
    logits[static_cast<size_t>(token_of("x"))] = 1.0f;
    EXPECT_EQ(drawing->sample(logits), token_of("x"));
    std::vector<float> calling = logits;
    calling[static_cast<size_t>(token_of("<tool_call>"))] = 9.0f;
    EXPECT_EQ(drawing->sample(calling), token_of("<tool_call>"));
    const std::string digit = text_model_->piece(drawing->sample(logits));
    EXPECT_TRUE(digit >= "0" && digit <= "9") << digit;
}

TEST_F(Samplers, LazyGrammarThatIsBrokenByItsTriggerEnds) {
    GrammarSpec grammar;
    grammar.grammar = "root ::= \"th\" [0-9]";
    grammar.lazy = true;
    grammar.trigger_patterns = {"th"};
    const auto drawing = sampler(greedy(), grammar);
    std::vector<float> logits(static_cast<size_t>(text_model_->n_vocab()), 0.0f);
    logits[static_cast<size_t>(token_of("the"))] = 9.0f;
    EXPECT_EQ(drawing->sample(logits), token_of("the"));
    EXPECT_TRUE(text_model_->is_end(drawing->sample(logits)));
}

TEST_F(Samplers, GrammarGoesOnBehindThePrompt) {
    GrammarSpec grammar;
    grammar.grammar = "root ::= \"<|im_start|>assistant\\n\" \"yes\"";
    grammar.prefix = "<|im_start|>assistant\n";
    std::mt19937 random(3);
    EXPECT_EQ(generate(*sampler(SamplingParams(), grammar), random, 16), "yes");
    grammar.prefix = "something else";
    EXPECT_NE(refusal(SamplingParams(), grammar).find("the grammar can't be used"),
              std::string::npos);
}

TEST_F(Samplers, BadGrammarsAreExplained) {
    const auto explain = [&](const std::string& text) {
        GrammarSpec grammar;
        grammar.grammar = text;
        return refusal(SamplingParams(), grammar);
    };
    EXPECT_NE(explain("main ::= \"a\"").find("no rule 'root'"), std::string::npos);
    EXPECT_NE(explain("root ::= \"a").find("begun in line 1 has no end"), std::string::npos);
    EXPECT_NE(explain("root ::= a").find("'a' is used but not defined"), std::string::npos);
    EXPECT_NE(explain("root ::= root \"a\"").find("left recursion"), std::string::npos);
    EXPECT_NE(explain("root ::= " + std::string(10000, '(')).find("nested deeper"),
              std::string::npos);
    EXPECT_NE(explain(std::string(1 << 20, 'a')).find("bytes; the most is"), std::string::npos);
}

TEST(SpmSampler, PrefixSpacesAreNoPartOfTheGrammar) {
    const ModelPtr model = load_vocab(sentencepiece_vocab(true));
    const auto text_model = LlamaTextModel::create(model.get(), "");
    ASSERT_TRUE(text_model.ok());
    GrammarSpec grammar;
    grammar.grammar = "root ::= \"[INST]\\n\" \"a\"";
    grammar.prefix = "[INST]\n";
    const auto sampler = (*text_model)->make_sampler(greedy(), grammar);
    ASSERT_TRUE(sampler.ok()) << sampler.error().message;
    const std::vector<float> logits(static_cast<size_t>((*text_model)->n_vocab()), 0.0f);
    EXPECT_EQ((*text_model)->piece((*sampler)->sample(logits)), "a");
}

}  // namespace
}  // namespace spolia
