#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/wire/requests.h"

namespace spolia {

// A request that a llama-server will answer. Only its prompt is read, and how much reuse it
// accepts; all else is that server's business.
struct UpstreamRequest {
    GenerateRequest generate;
    Surface surface = Surface::kChat;
    // The client chose the slot (id_slot) or adapters (lora), wants nothing cached (cache_prompt),
    // or several answers (n): there the server is left alone.
    bool own_way = false;
    bool given_ids = false;  // the prompt came as tokens
};

// Of a body with messages, or with a prompt. What is wrong with the spolia object has a param that
// begins with it; whatever else is wrong is for the server to say.
Parsed<UpstreamRequest> parse_upstream_request(std::string_view body,
                                               const RequestContext& context);

// What of a request tells which slot is best for it, where its tokens are the server's to say.
struct UpstreamPrompt {
    std::string tenant;               // with the client's cache_salt
    std::optional<std::string> text;  // of a completion; nothing: a chat's messages
};
Parsed<UpstreamPrompt> parse_upstream_prompt(std::string_view body, std::string_view tenant,
                                             const JsonLimits& limits);

// Whether a server that is told which slot to take may be: the body is a JSON object that says
// nothing of it.
bool leaves_slot_open(std::string_view body, const JsonLimits& limits);

// The body, a JSON object that leaves the slot open, with it named, and whether the server may use
// what is in it. All else stays byte by byte.
std::string with_slot(std::string_view body, int32_t slot, bool cache_prompt = true);

}  // namespace spolia
