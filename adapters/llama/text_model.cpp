#include "adapters/llama/text_model.h"

#include <llama.h>

#include <algorithm>
#include <utility>

#include "adapters/llama/sampler.h"
#include "adapters/llama/token_ids.h"
#include "adapters/llama/token_offsets.h"

namespace spolia {
Result<std::unique_ptr<LlamaTextModel>> LlamaTextModel::create(const llama_model* model,
                                                               std::string chat_template_override) {
    const llama_vocab* vocab = llama_model_get_vocab(model);
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE || llama_vocab_n_tokens(vocab) == 0) {
        return Error{ErrorCode::kUnsupported,
                     "the model file has no tokenizer; use a GGUF that was converted with one"};
    }
    auto chat_template = ChatTemplate::create(model, chat_template_override);
    if (!chat_template) return std::move(chat_template).error();
    return std::unique_ptr<LlamaTextModel>(
        new LlamaTextModel(vocab, std::move(chat_template).value()));
}

LlamaTextModel::LlamaTextModel(const llama_vocab* vocab,
                               std::unique_ptr<ChatTemplate> chat_template)
    : vocab_(vocab),
      chat_template_(std::move(chat_template)),
      space_prefix_(puts_space_first()),
      visible_(find_visible()) {}

Result<TokenizedText> LlamaTextModel::tokenize(std::string_view text, bool add_special,
                                               bool parse_special) const {
    Result<std::vector<Token>> tokens = token_ids(vocab_, text, add_special, parse_special);
    if (!tokens) return std::move(tokens).error();
    TokenizedText tokenized;
    tokenized.text = text;
    tokenized.tokens = std::move(tokens).value();
    OffsetRules rules;
    rules.bos_added = add_special && llama_vocab_get_add_bos(vocab_);
    rules.eos_added = add_special && llama_vocab_get_add_eos(vocab_);
    rules.space_prefix = space_prefix_;
    tokenized.byte_begin = token_offsets(vocab_, text, tokenized.tokens, rules);
    return tokenized;
}

std::string LlamaTextModel::detokenize(std::span<const Token> tokens) const {
    if (!tokens.empty() && llama_vocab_get_add_bos(vocab_) &&
        tokens.front() == llama_vocab_bos(vocab_)) {
        tokens = tokens.subspan(1);
    }
    if (!tokens.empty() && llama_vocab_get_add_eos(vocab_) &&
        tokens.back() == llama_vocab_eos(vocab_)) {
        tokens = tokens.first(tokens.size() - 1);
    }
    std::string text;
    bool prefix_next = space_prefix_;
    for (const Token token : tokens) {
        const size_t begin = text.size();
        append_piece(vocab_, token, /*special=*/true, text);
        const bool prefixed = prefix_next && !is_special(vocab_, token) && text.size() > begin;
        if (prefixed && text[begin] == ' ') text.erase(begin, 1);
        prefix_next = space_prefix_ && is_special(vocab_, token);
    }
    return text;
}

std::string LlamaTextModel::piece(Token token) const {
    const bool visible = std::binary_search(visible_.begin(), visible_.end(), token);
    std::string piece;
    append_piece(vocab_, token, visible, piece);
    return piece;
}

int32_t LlamaTextModel::n_vocab() const { return llama_vocab_n_tokens(vocab_); }

bool LlamaTextModel::is_end(Token token) const { return llama_vocab_is_eog(vocab_, token); }

bool LlamaTextModel::has_chat_template() const { return chat_template_->is_explicit(); }

Result<RenderedChat> LlamaTextModel::render(const ChatRequest& request) const {
    return chat_template_->render(request);
}

Result<std::unique_ptr<Sampler>> LlamaTextModel::make_sampler(const SamplingParams& params,
                                                              const GrammarSpec& grammar) const {
    const Result<std::vector<Token>> prefix = grammar_prefix(grammar);
    if (!prefix) return prefix.error();
    return make_llama_sampler(vocab_, params, grammar, *prefix);
}

// llama.h doesn't tell, so look at what a letter becomes.
bool LlamaTextModel::puts_space_first() const {
    const Result<std::vector<Token>> tokens = token_ids(vocab_, "a", false, false);
    if (!tokens) return false;
    std::string text;
    for (const Token token : *tokens) append_piece(vocab_, token, /*special=*/true, text);
    return text == " a" || text ==
                               "\xe2\x96\x81"
                               "a";
}

std::vector<Token> LlamaTextModel::find_visible() const {
    std::vector<Token> visible;
    for (const std::string& marker : chat_template_->markers()) {
        const Result<std::vector<Token>> tokens = token_ids(vocab_, marker, false, true);
        if (tokens && tokens->size() == 1) visible.push_back(tokens->front());
    }
    std::sort(visible.begin(), visible.end());
    return visible;
}

// Tokens that the prefix's text is made of; the space that a tokenizer puts before text is no
// part of it.
Result<std::vector<Token>> LlamaTextModel::grammar_prefix(const GrammarSpec& grammar) const {
    if (grammar.grammar.empty() || grammar.prefix.empty()) return std::vector<Token>();
    Result<TokenizedText> prefix = tokenize(grammar.prefix, false, true);
    if (!prefix) return std::move(prefix).error();
    if (!prefix->has_offsets()) return std::move(prefix->tokens);
    std::vector<Token> tokens;
    for (size_t i = 0; i < prefix->tokens.size(); ++i) {
        const bool has_text = prefix->byte_begin[i] < prefix->byte_begin[i + 1];
        if (has_text) tokens.push_back(prefix->tokens[i]);
    }
    return tokens;
}

}  // namespace spolia
