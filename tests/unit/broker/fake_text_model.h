#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "adapters/text_model.h"
#include "index/thread_annotations.h"

namespace spolia::testing {

// Passes text on as content, except for whole pieces with a meaning: "@call NAME ARGUMENTS",
// "@arguments MORE", "@think TEXT", "@broken".
class ScriptedParser : public OutputParser {
public:
    Result<MessageDelta> push(std::string_view text, bool final) override {
        MessageDelta delta;
        if (final) {
            if (held_) delta.content = ".";
            return delta;
        }
        if (text.starts_with("@broken")) return Error{ErrorCode::kInternal, "unreadable output"};
        if (text.starts_with("@think ")) {
            delta.reasoning = text.substr(7);
        } else if (text.starts_with("@call ")) {
            const size_t space = text.find(' ', 6);
            ++n_calls_;
            delta.tool_calls.push_back({n_calls_ - 1, "call_" + std::to_string(n_calls_),
                                        std::string(text.substr(6, space - 6)),
                                        std::string(text.substr(space + 1))});
        } else if (text.starts_with("@arguments ")) {
            delta.tool_calls.push_back({n_calls_ - 1, "", "", std::string(text.substr(11))});
        } else if (text == "@hold") {
            held_ = true;
        } else {
            delta.content = text;
        }
        return delta;
    }

private:
    int32_t n_calls_ = 0;
    bool held_ = false;  // something that only the end shows
};

// One token a byte, and a BOS. Renders "<role>content\n" for every message.
class FakeTextModel : public TextModel {
public:
    static constexpr Token kBos = 256;

    Result<TokenizedText> tokenize(std::string_view text, bool add_special, bool) const override {
        TokenizedText result;
        result.text = text;
        if (add_special) {
            result.tokens.push_back(kBos);
            result.byte_begin.push_back(0);
        }
        for (size_t i = 0; i < text.size(); ++i) {
            result.tokens.push_back(static_cast<unsigned char>(text[i]));
            result.byte_begin.push_back(static_cast<uint32_t>(i));
        }
        result.byte_begin.push_back(static_cast<uint32_t>(text.size()));
        return result;
    }

    std::string detokenize(std::span<const Token> tokens) const override {
        std::string text;
        for (const Token token : tokens) text += piece(token);
        return text;
    }

    std::string piece(Token token) const override {
        return token == kBos ? std::string() : std::string(1, static_cast<char>(token));
    }

    int32_t n_vocab() const override { return 257; }
    bool is_end(Token) const override { return false; }
    bool has_chat_template() const override { return true; }

    Result<RenderedChat> render(const ChatRequest& request) const override {
        {
            const MutexLock lock(mutex_);
            last_ = request;
        }
        RenderedChat chat;
        for (const auto& message : nlohmann::json::parse(request.messages_json)) {
            const std::string role = message["role"];
            if (role == "forbidden") {
                return Error{ErrorCode::kInvalidArgument, "the template knows no such role"};
            }
            chat.text += "<" + role + ">";
            const auto begin = static_cast<uint32_t>(chat.text.size());
            chat.text += content_of(message);
            chat.spans.push_back(
                {begin, static_cast<uint32_t>(chat.text.size()), SegmentRole::kChunk});
            chat.text += "\n";
        }
        chat.spans.back().role = SegmentRole::kQuery;
        chat.stops = {"<end>"};
        chat.parser = std::make_unique<ScriptedParser>();
        return chat;
    }

    Result<std::unique_ptr<Sampler>> make_sampler(const SamplingParams&,
                                                  const GrammarSpec&) const override {
        return Error{ErrorCode::kUnsupported, "a fake model does not sample"};
    }

    ChatRequest last_chat() const {
        const MutexLock lock(mutex_);
        return last_;
    }

private:
    static std::string content_of(const nlohmann::json& message) {
        if (!message.contains("content") || message["content"].is_null()) return {};
        if (message["content"].is_string()) return message["content"];
        std::string text;
        for (const auto& part : message["content"]) text += part["text"].get<std::string>();
        return text;
    }

    mutable Mutex mutex_;
    mutable ChatRequest last_ GUARDED_BY(mutex_);
};

}  // namespace spolia::testing
