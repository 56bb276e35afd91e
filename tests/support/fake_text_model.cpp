#include "tests/support/fake_text_model.h"

#include <algorithm>
#include <array>

namespace spolia::test {
namespace {

constexpr std::array<std::string_view, 6> kWords = {" the",  "end",  "\xE2\x82",
                                                    "\xAC!", "stop", "a b"};

class GreedySampler final : public Sampler {
public:
    GreedySampler(SampledTokens& sampled, std::optional<uint32_t> seed)
        : sampled_(sampled), seed_(seed) {}
    Token sample(std::span<const float> logits) override {
        const Token token = greedy(logits);
        if (seed_) sampled_.add(*seed_, token);
        return token;
    }

private:
    SampledTokens& sampled_;
    std::optional<uint32_t> seed_;
};

}  // namespace

Token greedy(std::span<const float> logits) {
    return static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

Result<TokenizedText> FakeTextModel::tokenize(std::string_view text, bool add_special, bool) const {
    TokenizedText result;
    result.text = text;
    if (add_special) {
        result.tokens.push_back(kBos);
        result.byte_begin.push_back(0);
    }
    const std::string spaced = (space_prefix_ && !text.empty() ? " " : "") + std::string(text);
    const size_t n_added = spaced.size() - text.size();
    for (size_t i = 0; i < spaced.size();) {
        const bool word = space_prefix_ && spaced.substr(i).starts_with(kWords[0]);
        result.tokens.push_back(word ? kEnd + 1 : static_cast<uint8_t>(spaced[i]));
        result.byte_begin.push_back(static_cast<uint32_t>(i - std::min(i, n_added)));
        i += word ? kWords[0].size() : 1;
    }
    result.byte_begin.push_back(static_cast<uint32_t>(text.size()));
    return result;
}

std::string FakeTextModel::detokenize(std::span<const Token> tokens) const {
    std::string text;
    for (const Token token : tokens) text += piece(token);
    return text;
}

std::string FakeTextModel::piece(Token token) const {
    if (token < kBos) return std::string(1, static_cast<char>(token));
    if (token <= kEnd) return {};
    return std::string(kWords[token - kEnd - 1]);
}

Result<RenderedChat> FakeTextModel::render(const ChatRequest&) const {
    return Error{ErrorCode::kUnsupported, "no chat template"};
}

Result<std::unique_ptr<Sampler>> FakeTextModel::make_sampler(const SamplingParams& params,
                                                             const GrammarSpec& grammar) const {
    if (grammar.grammar == "invalid") {
        return Error{ErrorCode::kInvalidArgument, "the grammar is invalid"};
    }
    return std::unique_ptr<Sampler>(std::make_unique<GreedySampler>(sampled_, params.seed));
}

}  // namespace spolia::test
