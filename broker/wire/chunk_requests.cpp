#include "broker/wire/chunk_requests.h"

#include "broker/wire/fields.h"
#include "broker/wire/request_options.h"

namespace spolia {
namespace {

constexpr size_t kTextsMax = 256;

Json to_object(const ChunkInfo& chunk) {
    return {
        {"object", "chunk"},        {"key", chunk.key.hex()},   {"name", chunk.name},
        {"tokens", chunk.n_tokens}, {"encoded", chunk.encoded}, {"tier", chunk.tier},
        {"bytes", chunk.bytes},
    };
}

}  // namespace

Parsed<PutChunks> parse_put_chunks(std::string_view text, const JsonLimits& limits) {
    const Parsed<Json> json = parse_object(text, limits);
    if (!json.ok()) return json.error();
    Fields body(*json);
    PutChunks put;
    if (const std::string* name = body.string("name")) put.name = *name;
    put.cache_salt = read_cache_salt(body);

    const std::string* one = body.string("text");
    const Json* several = body.array("texts");
    body.refuse_others();
    if ((one == nullptr) == (several == nullptr)) {
        body.fail("text", "or 'texts' is required, and not both");
    } else if (one != nullptr) {
        put.texts.push_back(*one);
    } else if (several->empty() || several->size() > kTextsMax) {
        body.fail("texts", "must have from 1 to " + std::to_string(kTextsMax) + " strings");
    } else {
        for (const Json& part : *several) {
            if (part.is_string())
                put.texts.push_back(part.get<std::string>());
            else
                body.fail("texts", "must hold strings only");
        }
    }
    for (const std::string& part : put.texts) {
        if (part.empty()) body.fail(one != nullptr ? "text" : "texts", "must not be empty");
    }
    if (!body.ok()) return body.fault();
    return put;
}

std::string chunk_list_json(std::span<const ChunkInfo> chunks) {
    Json data = Json::array();
    for (const ChunkInfo& chunk : chunks) data.push_back(to_object(chunk));
    return dump({{"object", "list"}, {"data", std::move(data)}});
}

std::string chunk_json(const ChunkInfo& chunk) { return dump(to_object(chunk)); }

std::string chunk_deleted_json(const Key128& key) {
    return dump({{"object", "chunk.deleted"}, {"key", key.hex()}, {"deleted", true}});
}

}  // namespace spolia
