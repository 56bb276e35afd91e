#pragma once

#include "broker/wire/fields.h"
#include "broker/wire/requests.h"

namespace spolia {

// Reads what chat and completion requests have in common into `request`, all but the prompt.
// Complaints are left in `body`.
void read_options(Fields& body, const RequestContext& context, ParsedRequest& request);

// The same of a request whose prompt is all that matters here: id, tenant and reuse.
void read_prompt_options(Fields& body, const RequestContext& context, ParsedRequest& request);

// A client's cache_salt; empty without one.
std::string read_cache_salt(Fields& body);

// A failure to render or tokenize the field `param`.
ApiError prompt_error(const Error& error, const char* param);

using ReadOptions = void (*)(Fields&, const RequestContext&, ParsedRequest&);
Parsed<ParsedRequest> parse_chat_object(const Json& json, const RequestContext& context,
                                        ReadOptions read = read_options);
Parsed<ParsedRequest> parse_completion_object(const Json& json, const RequestContext& context,
                                              ReadOptions read = read_options);

}  // namespace spolia
