#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "index/result.h"
#include "index/segment.h"
#include "index/token.h"

namespace spolia {

// How to pick the next token. Defaults are those of OpenAI's API where it has the field, of
// llama-server elsewhere.
struct SamplingParams {
    float temperature = 1.0f;  // <= 0: greedy
    int32_t top_k = 40;        // <= 0: off
    float top_p = 0.95f;       // >= 1: off
    float min_p = 0.05f;       // <= 0: off
    float repeat_penalty = 1.0f;
    int32_t repeat_last_n = 64;
    float frequency_penalty = 0.0f;
    float presence_penalty = 0.0f;
    std::optional<uint32_t> seed;  // random when absent
    std::vector<std::pair<Token, float>> logit_bias;
    bool ignore_eos = false;
};

// A constraint on the output, in llama.cpp's GBNF. Empty grammar: none.
struct GrammarSpec {
    std::string grammar;
    bool lazy = false;  // applies only behind one of the triggers
    std::vector<std::string> trigger_patterns;
    std::vector<Token> trigger_tokens;
    // What the prompt already ends with and the grammar starts with. Grammars of the client's own
    // start with the output.
    std::string prefix;
};

class Sampler {
public:
    virtual ~Sampler() = default;
    // Picks from n_vocab logits and takes the choice into account for the next call.
    virtual Token sample(std::span<const float> logits) = 0;
};

struct ToolCallDelta {
    int32_t index = 0;
    std::string id;         // set once, in the call's first delta
    std::string name;       // likewise
    std::string arguments;  // appended
};

struct MessageDelta {
    std::string content;
    std::string reasoning;
    std::vector<ToolCallDelta> tool_calls;
    bool empty() const { return content.empty() && reasoning.empty() && tool_calls.empty(); }
};

// Turns generated text into message parts: content, reasoning, tool calls. One per generation;
// used by one thread.
class OutputParser {
public:
    virtual ~OutputParser() = default;
    // `text` is valid UTF-8. `final` on the last call. Returns what is new.
    virtual Result<MessageDelta> push(std::string_view text, bool final) = 0;
};

// A chat request in the words of OpenAI's API; *_json are JSON texts of the fields of that name,
// empty where the request has none.
struct ChatRequest {
    std::string messages_json;
    std::string tools_json;
    std::string tool_choice;  // auto | required | none
    std::string json_schema;  // from response_format; "{}" for json_object
    std::string grammar;      // GBNF given by the client
    bool parallel_tool_calls = false;
    bool add_generation_prompt = true;
    std::map<std::string, std::string> template_kwargs;  // values are JSON texts
};

struct RenderedChat {
    std::string text;
    // Where the content parts of the messages stand in `text`. Tool, system and user text that may
    // be reused is kChunk, except the last user message's last part, which is kQuery together
    // with everything behind it; text of the template itself is in no span.
    std::vector<TextSpan> spans;
    GrammarSpec grammar;
    std::vector<std::string> stops;
    std::unique_ptr<OutputParser> parser;
};

// The text side of a model: vocabulary, chat template, samplers. Thread-safe.
class TextModel {
public:
    virtual ~TextModel() = default;

    // `add_special`: put BOS (EOS) where the vocabulary wants them; `parse_special`: text such as
    // "<|im_end|>" becomes its control token.
    virtual Result<TokenizedText> tokenize(std::string_view text, bool add_special,
                                           bool parse_special) const = 0;
    virtual std::string detokenize(std::span<const Token> tokens) const = 0;
    // Raw bytes of one token's text; may be part of a UTF-8 sequence. Control tokens give nothing,
    // except those that an OutputParser looks for.
    virtual std::string piece(Token token) const = 0;
    virtual int32_t n_vocab() const = 0;
    virtual bool is_end(Token token) const = 0;

    virtual bool has_chat_template() const = 0;
    virtual Result<RenderedChat> render(const ChatRequest& request) const = 0;
    virtual Result<std::unique_ptr<Sampler>> make_sampler(const SamplingParams& params,
                                                          const GrammarSpec& grammar) const = 0;
};

}  // namespace spolia
