#pragma once

#include <string>
#include <string_view>

#include "broker/request.h"
#include "broker/wire/json.h"

namespace spolia {

// The response's "spolia" object: what happened to each token of the prompt.
Json receipt_json(const Receipt& receipt);
// The same by itself, of an earlier request.
std::string receipt_response(std::string_view id, const Receipt& receipt);
// cached_tokens are those of exact prefixes only: composed reuse is never passed off as a cache
// hit.
Json usage_json(const GenerateOutcome& outcome);
// As llama-server writes them. cache_n are exact rows, prompt_n all others.
Json timings_json(const GenerateOutcome& outcome);

}  // namespace spolia
