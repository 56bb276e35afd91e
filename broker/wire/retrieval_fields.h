#pragma once

#include <optional>
#include <span>
#include <string>

#include "broker/wire/fields.h"
#include "broker/wire/json.h"
#include "broker/wire/retrieval.h"

namespace spolia {

// Reads `retrieve` of a chat request's spolia object: {collection, query?, k?, order?}.
std::optional<Retrieval> read_retrieval(Fields& spolia);

// The text of the last message that a user said; empty where there is none.
std::string last_user_text(const Json& messages);

// The messages, with each chunk as a text part of its own in front of the last user message's text.
// There must be such a message, and the messages must have passed all checks.
Json with_retrieved(const Json& messages, std::span<const RetrievedChunk> chunks);

Json retrieved_sources_json(std::span<const RetrievedSource> sources);

}  // namespace spolia
