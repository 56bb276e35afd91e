#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "adapters/text_model.h"
#include "broker/request.h"
#include "broker/wire/api_error.h"
#include "broker/wire/json_limits.h"
#include "broker/wire/retrieval.h"

namespace spolia {

// Which of OpenAI's two ways to generate text a request came by.
enum class Surface : uint8_t { kChat, kCompletion };

// What parsing needs to know of the server. Borrows; lives as long as the call.
struct RequestContext {
    const TextModel& text;
    std::span<const std::string> model_names;  // that clients may use; the first is shown to them
    std::string_view tenant;
    JsonLimits limits;
    Retrieve retrieve{};  // empty: there are no collections
};

// A request to generate, checked, rendered and tokenized.
struct ParsedRequest {
    Surface surface = Surface::kChat;
    GenerateRequest generate;
    std::unique_ptr<OutputParser> parser;  // chat only
    bool stream = false;
    bool include_usage = false;  // streams: send a last chunk with the usage
    std::optional<Retrieval> retrieval;
    std::optional<std::vector<RetrievedSource>> retrieved;  // what it put into the prompt
    int32_t n_retrieved_tokens = 0;  // of it; 0 also where the template changed its text
};

Parsed<ParsedRequest> parse_chat_request(std::string_view body, const RequestContext& context);
Parsed<ParsedRequest> parse_completion_request(std::string_view body,
                                               const RequestContext& context);
// A body of either kind: chat when it has messages.
Parsed<ParsedRequest> parse_plan_request(std::string_view body, const RequestContext& context);

// What the service refused a request for. Of a prompt that is too long it says what was retrieved.
ApiError submit_error(const Error& error, const ParsedRequest& request);

// The text of a chat request's prompt, for /apply-template; with the chunks that it retrieves. Of
// the spolia object all else is ignored.
Parsed<std::string> render_prompt(std::string_view body, const RequestContext& context);

// Salt of a tenant's keys. Different pairs never give the same salt: tenants have no line breaks.
std::string tenant_salt(std::string_view tenant, std::string_view cache_salt);

}  // namespace spolia
