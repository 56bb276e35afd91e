#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapters/llama/chat_template.h"
#include "adapters/text_model.h"

struct llama_model;
struct llama_vocab;

namespace spolia {

// The text side of a model loaded by llama.cpp.
class LlamaTextModel final : public TextModel {
public:
    // `model` outlives the text model; its vocabulary is enough. `chat_template_override` is Jinja
    // that is used in place of the model's own template.
    static Result<std::unique_ptr<LlamaTextModel>> create(const llama_model* model,
                                                          std::string chat_template_override);

    Result<TokenizedText> tokenize(std::string_view text, bool add_special,
                                   bool parse_special) const override;
    // The text that tokenize() made them from; an added BOS or EOS gives nothing.
    std::string detokenize(std::span<const Token> tokens) const override;
    // Of control tokens only those that the chat template's output format is made of give text,
    // such as "<tool_call>": the output parser looks for it.
    std::string piece(Token token) const override;
    int32_t n_vocab() const override;
    bool is_end(Token token) const override;

    bool has_chat_template() const override;
    Result<RenderedChat> render(const ChatRequest& request) const override;
    Result<std::unique_ptr<Sampler>> make_sampler(const SamplingParams& params,
                                                  const GrammarSpec& grammar) const override;

private:
    LlamaTextModel(const llama_vocab* vocab, std::unique_ptr<ChatTemplate> chat_template);

    bool puts_space_first() const;
    std::vector<Token> find_visible() const;
    Result<std::vector<Token>> grammar_prefix(const GrammarSpec& grammar) const;

    const llama_vocab* vocab_;
    std::unique_ptr<ChatTemplate> chat_template_;
    bool space_prefix_;           // the tokenizer puts a space before text
    std::vector<Token> visible_;  // control tokens that piece() writes out; sorted
};

}  // namespace spolia
