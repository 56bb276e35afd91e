#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/text_model.h"
#include "index/thread_annotations.h"

namespace spolia::test {

// Sampled tokens of generations, by the seed of their sampling parameters. Outlives the model.
class SampledTokens {
public:
    void add(uint32_t seed, Token token) {
        MutexLock lock(mutex_);
        tokens_[seed].push_back(token);
    }
    std::vector<Token> of(uint32_t seed) const {
        MutexLock lock(mutex_);
        const auto found = tokens_.find(seed);
        return found == tokens_.end() ? std::vector<Token>() : found->second;
    }

private:
    mutable Mutex mutex_;
    std::map<uint32_t, std::vector<Token>> tokens_ GUARDED_BY(mutex_);
};

// Tokens 0 to 255 are bytes, kBos and kEnd are control tokens, the rest short words. Text is
// tokenized byte by byte; with `space_prefix`, a space is put before it, and " the" is one token.
// Samplers are greedy and record what they pick where a seed is given.
class FakeTextModel final : public TextModel {
public:
    static constexpr Token kBos = 256;
    static constexpr Token kEnd = 257;
    static constexpr int32_t kVocab = 264;

    explicit FakeTextModel(SampledTokens& sampled, bool space_prefix = false)
        : sampled_(sampled), space_prefix_(space_prefix) {}

    Result<TokenizedText> tokenize(std::string_view text, bool add_special,
                                   bool parse_special) const override;
    std::string detokenize(std::span<const Token> tokens) const override;
    std::string piece(Token token) const override;
    int32_t n_vocab() const override { return kVocab; }
    bool is_end(Token token) const override { return token == kEnd; }
    bool has_chat_template() const override { return false; }
    Result<RenderedChat> render(const ChatRequest& request) const override;
    // Fails on the grammar "invalid".
    Result<std::unique_ptr<Sampler>> make_sampler(const SamplingParams& params,
                                                  const GrammarSpec& grammar) const override;

private:
    SampledTokens& sampled_;
    const bool space_prefix_;
};

Token greedy(std::span<const float> logits);

}  // namespace spolia::test
