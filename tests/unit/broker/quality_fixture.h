#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "broker/quality/task_file.h"
#include "tests/support/fake_text_model.h"

namespace spolia::test {

// A token a byte, and a chat template: parts with blank lines between them, "\n" and the name of
// who speaks next behind each message.
class ChattyTextModel final : public TextModel {
public:
    Result<TokenizedText> tokenize(std::string_view text, bool add_special,
                                   bool parse_special) const override {
        return base_.tokenize(text, add_special, parse_special);
    }
    std::string detokenize(std::span<const Token> tokens) const override {
        return base_.detokenize(tokens);
    }
    std::string piece(Token token) const override { return base_.piece(token); }
    int32_t n_vocab() const override { return base_.n_vocab(); }
    bool is_end(Token token) const override { return base_.is_end(token); }
    bool has_chat_template() const override { return true; }

    Result<RenderedChat> render(const ChatRequest& request) const override {
        RenderedChat chat;
        for (const auto& message : nlohmann::json::parse(request.messages_json)) {
            const bool system = message["role"] == "system";
            for (const auto& part : message["content"]) {
                if (!chat.text.empty() && !chat.text.ends_with("\n")) chat.text += "\n\n";
                const auto begin = static_cast<uint32_t>(chat.text.size());
                chat.text += part["text"].get<std::string>();
                chat.spans.push_back({begin, static_cast<uint32_t>(chat.text.size()),
                                      system ? SegmentRole::kFixed : SegmentRole::kChunk});
            }
            chat.text += message["role"] == "user" ? "\nAnswer:" : "\n\n";
        }
        chat.spans.back().role = SegmentRole::kQuery;
        chat.spans.back().end = static_cast<uint32_t>(chat.text.size());
        return chat;
    }

    Result<std::unique_ptr<Sampler>> make_sampler(const SamplingParams& params,
                                                  const GrammarSpec& grammar) const override {
        return base_.make_sampler(params, grammar);
    }

private:
    SampledTokens sampled_;
    FakeTextModel base_{sampled_};
};

inline QualityTask ship_task(int32_t line = 1) {
    QualityTask task;
    task.line = line;
    task.chunks = {"Note oak. Mina carries oil. Otis carries honey.",
                   "Note elm. Ada matches Otis. Nia carries spice.",
                   "Note yew. Jarl is next. It carries rope today."};
    task.questions = {{"single_fact", {}, "What does Nia carry?", "spice", false},
                      {"two_hops", {}, "What does Ada carry?", "honey", true}};
    return task;
}

}  // namespace spolia::test
