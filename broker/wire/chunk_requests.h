#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/service.h"
#include "broker/wire/api_error.h"
#include "broker/wire/json_limits.h"

namespace spolia {

// PUT /v1/chunks: {text | texts, name?, cache_salt?}.
struct PutChunks {
    std::vector<std::string> texts;  // not empty
    std::string name;
    std::string cache_salt;
};
Parsed<PutChunks> parse_put_chunks(std::string_view body, const JsonLimits& limits);

std::string chunk_list_json(std::span<const ChunkInfo> chunks);
std::string chunk_json(const ChunkInfo& chunk);
std::string chunk_deleted_json(const Key128& key);

}  // namespace spolia
