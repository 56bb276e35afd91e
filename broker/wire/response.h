#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "broker/request.h"
#include "broker/wire/requests.h"

namespace spolia {

// What all parts of one response repeat.
struct ResponseHead {
    Surface surface = Surface::kChat;
    std::string id;
    std::string model;
    int64_t created = 0;                                      // Unix time, seconds
    std::optional<std::vector<RetrievedSource>> retrieved{};  // where something was asked for
};

// The whole answer of a model, put together from its deltas.
class AnswerMessage {
public:
    void append(const MessageDelta& delta);
    bool has_tool_calls() const { return !tool_calls_.empty(); }

    const std::string& content() const { return content_; }
    const std::string& reasoning() const { return reasoning_; }
    const std::vector<ToolCallDelta>& tool_calls() const { return tool_calls_; }

private:
    std::string content_;
    std::string reasoning_;
    std::vector<ToolCallDelta> tool_calls_;
};

// The response to a request that does not stream. Completions show the content only.
std::string whole_response(const ResponseHead& head, const AnswerMessage& message,
                           const GenerateOutcome& outcome);

// JSON texts of a stream's events, in the order of a stream. The first is for chat only.
std::string role_chunk(const ResponseHead& head);
std::string delta_chunk(const ResponseHead& head, const MessageDelta& delta);
// Says why generation ended; carries receipt and timings.
std::string finish_chunk(const ResponseHead& head, bool has_tool_calls,
                         const GenerateOutcome& outcome);
std::string usage_chunk(const ResponseHead& head, const GenerateOutcome& outcome);

}  // namespace spolia
