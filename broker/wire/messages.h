#pragma once

#include <span>
#include <string>

#include "spolia/broker.h"

namespace spolia {

// The messages as the JSON array of OpenAI's chat API.
std::string messages_json(std::span<const Message> messages);

}  // namespace spolia
