#pragma once

#include "adapters/text_model.h"
#include "index/result.h"

struct common_chat_templates_inputs;

namespace spolia {

// A chat request in llama.cpp's words. Fails with kInvalidArgument and the name of the field that
// is wrong.
Result<common_chat_templates_inputs> parse_chat_request(const ChatRequest& request);

}  // namespace spolia
