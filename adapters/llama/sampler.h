#pragma once

#include <memory>
#include <span>

#include "adapters/text_model.h"
#include "index/result.h"

struct llama_vocab;

namespace spolia {

// llama.cpp's samplers in llama-server's order: logit bias, penalties, top-k, top-p, min-p,
// temperature, then a draw. Penalties count generated tokens only. `vocab` outlives the sampler;
// `grammar_prefix` are the tokens of grammar.prefix.
Result<std::unique_ptr<Sampler>> make_llama_sampler(const llama_vocab* vocab,
                                                    const SamplingParams& params,
                                                    const GrammarSpec& grammar,
                                                    std::span<const Token> grammar_prefix);

}  // namespace spolia
