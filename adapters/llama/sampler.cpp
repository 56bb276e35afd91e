#include "adapters/llama/sampler.h"

#include <llama.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <exception>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "adapters/llama/gbnf_scan.h"

namespace spolia {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// Bounds of what llama.cpp's grammar parser, which recurses, is given to read.
constexpr size_t kGrammarBytesMax = size_t{512} << 10;
constexpr int kGrammarDepthMax = 200;
// How far back penalties look when asked to look back for ever.
constexpr int32_t kPenaltyWindowMax = 1 << 16;

struct SamplerFree {
    void operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }
};
using LlamaSamplerPtr = std::unique_ptr<llama_sampler, SamplerFree>;

Status check_finite(const char* name, float value) {
    if (std::isfinite(value)) return {};
    return invalid(std::string(name) + " must be a finite number");
}

Status check(const SamplingParams& params, int32_t n_vocab) {
    const std::pair<const char*, float> numbers[] = {
        {"temperature", params.temperature},
        {"top_p", params.top_p},
        {"min_p", params.min_p},
        {"repeat_penalty", params.repeat_penalty},
        {"frequency_penalty", params.frequency_penalty},
        {"presence_penalty", params.presence_penalty},
    };
    for (const auto& [name, value] : numbers) {
        if (Status status = check_finite(name, value); !status) return status;
    }
    if (params.repeat_penalty <= 0.0f || !std::isfinite(1.0f / params.repeat_penalty)) {
        return invalid("repeat_penalty must be above 0");
    }
    for (const auto& [token, bias] : params.logit_bias) {
        if (token < 0 || token >= n_vocab) {
            return invalid("logit_bias names token " + std::to_string(token) +
                           "; the model's tokens are 0 to " + std::to_string(n_vocab - 1));
        }
        if (std::isnan(bias) || bias == -kNever) {
            return invalid("logit_bias of token " + std::to_string(token) + " must be a number");
        }
    }
    return {};
}

std::vector<llama_logit_bias> biases(const llama_vocab* vocab, const SamplingParams& params) {
    std::vector<llama_logit_bias> biases;
    for (const auto& [token, bias] : params.logit_bias) biases.push_back({token, bias});
    int32_t n_suppressed = 0;
    const llama_token* suppressed = llama_vocab_get_suppress_tokens(vocab, &n_suppressed);
    for (int32_t i = 0; i < n_suppressed; ++i) biases.push_back({suppressed[i], kNever});
    if (params.ignore_eos) {
        for (Token token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
            if (llama_vocab_is_eog(vocab, token)) biases.push_back({token, kNever});
        }
    }
    return biases;
}

bool has_penalties(const SamplingParams& params) {
    return params.repeat_last_n != 0 &&
           (params.repeat_penalty != 1.0f || params.frequency_penalty != 0.0f ||
            params.presence_penalty != 0.0f);
}

// Null where nothing stands between the logits and their maximum.
LlamaSamplerPtr make_chain(const llama_vocab* vocab, const SamplingParams& params) {
    const std::vector<llama_logit_bias> bias = biases(vocab, params);
    const bool greedy = params.temperature <= 0.0f;
    if (greedy && bias.empty() && !has_penalties(params)) return nullptr;

    llama_sampler_chain_params chain_params = llama_sampler_chain_default_params();
    chain_params.no_perf = true;
    LlamaSamplerPtr chain(llama_sampler_chain_init(chain_params));
    const auto add = [&](llama_sampler* sampler) { llama_sampler_chain_add(chain.get(), sampler); };
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    if (!bias.empty()) {
        add(llama_sampler_init_logit_bias(n_vocab, static_cast<int32_t>(bias.size()), bias.data()));
    }
    if (has_penalties(params)) {
        const int32_t window = params.repeat_last_n < 0
                                   ? kPenaltyWindowMax
                                   : std::min(params.repeat_last_n, kPenaltyWindowMax);
        add(llama_sampler_init_penalties(n_vocab, window, params.repeat_penalty,
                                         params.frequency_penalty, params.presence_penalty));
    }
    if (greedy) {
        add(llama_sampler_init_greedy());
        return chain;
    }
    if (params.top_k > 0) add(llama_sampler_init_top_k(params.top_k));
    if (params.top_p < 1.0f) add(llama_sampler_init_top_p(params.top_p, /*min_keep=*/0));
    if (params.min_p > 0.0f) add(llama_sampler_init_min_p(params.min_p, /*min_keep=*/0));
    add(llama_sampler_init_temp(params.temperature));
    add(llama_sampler_init_dist(params.seed ? *params.seed : std::random_device()()));
    return chain;
}

Status check_bounds(const GrammarSpec& spec) {
    if (spec.grammar.size() > kGrammarBytesMax) {
        return invalid("the grammar has " + std::to_string(spec.grammar.size()) +
                       " bytes; the most is " + std::to_string(kGrammarBytesMax));
    }
    if (gbnf_depth(spec.grammar) > kGrammarDepthMax) {
        return invalid("the grammar's parentheses are nested deeper than " +
                       std::to_string(kGrammarDepthMax));
    }
    return {};
}

Error refused(const GrammarSpec& spec) {
    const std::optional<std::string> problem = gbnf_problem(spec.grammar);
    return invalid("the grammar is no GBNF that llama.cpp takes: " +
                   problem.value_or("see the log for the place; left recursion is refused too"));
}

llama_sampler* init_grammar(const llama_vocab* vocab, const GrammarSpec& spec) {
    if (!spec.lazy) return llama_sampler_init_grammar(vocab, spec.grammar.c_str(), "root");
    std::vector<const char*> patterns;
    for (const std::string& pattern : spec.trigger_patterns) patterns.push_back(pattern.c_str());
    return llama_sampler_init_grammar_lazy_patterns(
        vocab, spec.grammar.c_str(), "root", patterns.data(), patterns.size(),
        spec.trigger_tokens.data(), spec.trigger_tokens.size());
}

Result<LlamaSamplerPtr> make_grammar(const llama_vocab* vocab, const GrammarSpec& spec,
                                     std::span<const Token> prefix) {
    if (spec.grammar.empty()) return LlamaSamplerPtr();
    if (Status status = check_bounds(spec); !status) return std::move(status).error();
    try {
        LlamaSamplerPtr grammar(init_grammar(vocab, spec));
        if (!grammar) return refused(spec);
        for (const Token token : prefix) {
            // llama.cpp would abort where its grammar doesn't expect an end.
            if (llama_vocab_is_eog(vocab, token)) {
                return Error{ErrorCode::kUnsupported,
                             "the chat template's prompt ends with an end token, behind which "
                             "llama.cpp can't constrain the output"};
            }
            llama_sampler_accept(grammar.get(), token);
        }
        return grammar;
    } catch (const std::exception& error) {
        return invalid(std::string("the grammar can't be used: ") + error.what());
    }
}

Token first_end_token(const llama_vocab* vocab) {
    for (Token token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
        if (llama_vocab_is_eog(vocab, token)) return token;
    }
    return LLAMA_TOKEN_NULL;
}

class LlamaSampler final : public Sampler {
public:
    LlamaSampler(const llama_vocab* vocab, LlamaSamplerPtr chain, LlamaSamplerPtr grammar)
        : chain_(std::move(chain)),
          grammar_(std::move(grammar)),
          candidates_(static_cast<size_t>(llama_vocab_n_tokens(vocab))),
          end_token_(grammar_ ? first_end_token(vocab) : LLAMA_TOKEN_NULL) {}

    Token sample(std::span<const float> logits) override {
        assert(logits.size() == candidates_.size());
        if (grammar_failed_) return end_token_;
        Token token = choose(logits, /*constrained=*/false).id;
        if (grammar_ && !grammar_allows(token)) {
            const llama_token_data choice = choose(logits, /*constrained=*/true);
            // Nothing in the vocabulary goes on as the grammar wants: all that is left is to end.
            if (choice.logit == kNever && end_token_ != LLAMA_TOKEN_NULL) return end_token_;
            token = choice.id;
        }
        accept(token);
        return token;
    }

private:
    llama_token_data choose(std::span<const float> logits, bool constrained) {
        if (!chain_ && !constrained) {
            const auto best = std::max_element(logits.begin(), logits.end());
            return {static_cast<Token>(best - logits.begin()), *best, 0.0f};
        }
        for (size_t i = 0; i < logits.size(); ++i) {
            candidates_[i] = {static_cast<Token>(i), logits[i], 0.0f};
        }
        llama_token_data_array array = {candidates_.data(), candidates_.size(), -1, false};
        if (constrained) {
            llama_sampler_apply(grammar_.get(), &array);
            if (!chain_ || all_ruled_out()) return *best_candidate();
        }
        llama_sampler_apply(chain_.get(), &array);
        return array.data[array.selected];
    }

    std::vector<llama_token_data>::const_iterator best_candidate() const {
        return std::max_element(candidates_.begin(), candidates_.end(),
                                [](const auto& a, const auto& b) { return a.logit < b.logit; });
    }

    bool all_ruled_out() const { return best_candidate()->logit == kNever; }

    bool grammar_allows(Token token) const {
        llama_token_data single = {token, 0.0f, 0.0f};
        llama_token_data_array array = {&single, 1, -1, false};
        llama_sampler_apply(grammar_.get(), &array);
        return single.logit != kNever;
    }

    void accept(Token token) {
        if (chain_) llama_sampler_accept(chain_.get(), token);
        if (!grammar_) return;
        try {
            llama_sampler_accept(grammar_.get(), token);
        } catch (const std::exception&) {
            // A token that triggers a lazy grammar may go on in a way that the grammar forbids.
            grammar_failed_ = end_token_ != LLAMA_TOKEN_NULL;
            grammar_.reset();
        }
    }

    LlamaSamplerPtr chain_;    // null: the largest logit
    LlamaSamplerPtr grammar_;  // null: none
    std::vector<llama_token_data> candidates_;
    Token end_token_;
    bool grammar_failed_ = false;
};

}  // namespace

Result<std::unique_ptr<Sampler>> make_llama_sampler(const llama_vocab* vocab,
                                                    const SamplingParams& params,
                                                    const GrammarSpec& grammar,
                                                    std::span<const Token> grammar_prefix) {
    if (Status status = check(params, llama_vocab_n_tokens(vocab)); !status) {
        return std::move(status).error();
    }
    Result<LlamaSamplerPtr> constraint = make_grammar(vocab, grammar, grammar_prefix);
    if (!constraint) return std::move(constraint).error();
    return std::unique_ptr<Sampler>(
        std::make_unique<LlamaSampler>(vocab, make_chain(vocab, params), std::move(*constraint)));
}

}  // namespace spolia
