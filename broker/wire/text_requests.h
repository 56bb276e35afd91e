#pragma once

#include <string>
#include <string_view>

#include "adapters/text_model.h"
#include "broker/wire/api_error.h"
#include "broker/wire/json_limits.h"

namespace spolia {

// llama-server's /tokenize: {content, add_special?, parse_special?, with_pieces?} -> {tokens}.
Parsed<std::string> tokenize_response(std::string_view body, const TextModel& model,
                                      const JsonLimits& limits);
// llama-server's /detokenize: {tokens} -> {content}.
Parsed<std::string> detokenize_response(std::string_view body, const TextModel& model,
                                        const JsonLimits& limits);

}  // namespace spolia
