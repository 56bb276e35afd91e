#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/rag/retrieved_chunk.h"
#include "broker/wire/api_error.h"
#include "broker/wire/json_limits.h"
#include "index/result.h"
#include "spolia/collection.h"

namespace spolia {

// Which chunks of a collection are wanted.
struct Retrieval {
    std::string collection;
    std::string query;
    int32_t k = 4;
    // In the documents' order instead of best first: the same chunks then always make the same
    // prompt, of which an exact prefix can be reused.
    bool stable_order = false;
};

using Retrieve = std::function<Result<std::vector<RetrievedChunk>>(const Retrieval& wanted)>;

// What a response shows of a chunk that was put into its prompt.
struct RetrievedSource {
    Key128 key;
    std::string source;
    std::string heading;
    double score = 0;
};

// Best first, or in the documents' order.
void put_in_order(std::vector<RetrievedChunk>& chunks, const Retrieval& wanted);

// POST /v1/retrieve: {collection, query, k?, cache_salt?}.
struct RetrieveRequest {
    Retrieval wanted;
    std::string cache_salt;
};
Parsed<RetrieveRequest> parse_retrieve_request(std::string_view body, const JsonLimits& limits);

// Of a failure to search: whether its message is fit for the client. Those of files and embedders
// tell of the server's paths and addresses.
bool is_for_client(const Error& error);
// A failure to search; `prefix` stands in front of the field's name. 503, or 429 where there is no
// time, in place of what is not for the client.
ApiError retrieval_error(const Error& error, std::string_view prefix);

// warm[i] tells whether the KV of chunks[i] is in a tier.
std::string retrieved_json(std::string_view collection, std::span<const RetrievedChunk> chunks,
                           const std::vector<bool>& warm);
std::string collections_json(std::span<const CollectionInfo> collections);

}  // namespace spolia
