#include "broker/wire/retrieval.h"

#include "broker/rag/collection_name.h"
#include "broker/wire/request_options.h"
#include "broker/wire/retrieval_fields.h"
#include "index/lines.h"

namespace spolia {
namespace {

std::string read_collection(Fields& fields) {
    const std::string* name = fields.string("collection");
    if (name == nullptr) {
        fields.fail("collection", "must be a collection's name");
        return {};
    }
    if (const Status good = check_collection_name(*name); !good.ok()) {
        fields.fail("collection", "is no collection's name: " + good.error().message);
    }
    return *name;
}

void read_common(Fields& fields, Retrieval& wanted) {
    wanted.collection = read_collection(fields);
    if (const std::string* query = fields.string("query")) {
        wanted.query = *query;
        if (trim_spaces(*query).empty()) fields.fail("query", "must not be empty");
    }
    if (const auto k = fields.integer("k", 1, kRetrievedMax)) wanted.k = static_cast<int32_t>(*k);
}

Json to_object(const RetrievedChunk& found, bool warm) {
    return {
        {"object", "retrieved_chunk"},  {"key", found.chunk.key.hex()},
        {"source", found.chunk.source}, {"heading", found.chunk.heading},
        {"score", found.score},         {"warm", warm},
        {"text", found.chunk.text},
    };
}

// The last message of the role "user"; messages.size() without one.
size_t last_user_message(const Json& messages) {
    for (size_t i = messages.size(); i > 0; --i) {
        if (messages[i - 1].value("role", "") == "user") return i - 1;
    }
    return messages.size();
}

}  // namespace

void put_in_order(std::vector<RetrievedChunk>& chunks, const Retrieval& wanted) {
    if (wanted.stable_order) put_in_document_order(chunks);
}

Parsed<RetrieveRequest> parse_retrieve_request(std::string_view text, const JsonLimits& limits) {
    const Parsed<Json> json = parse_object(text, limits);
    if (!json.ok()) return json.error();
    Fields body(*json);
    RetrieveRequest request;
    read_common(body, request.wanted);
    if (body.any("query") == nullptr) body.fail("query", "must be a text to look for");
    request.cache_salt = read_cache_salt(body);
    body.refuse_others();
    if (!body.ok()) return body.fault();
    return request;
}

std::optional<Retrieval> read_retrieval(Fields& spolia) {
    const Json* object = spolia.object("retrieve");
    if (object == nullptr) return std::nullopt;
    Fields fields(*object, spolia.path_of("retrieve"));
    Retrieval wanted;
    read_common(fields, wanted);
    if (const std::string* order = fields.string("order")) {
        wanted.stable_order = *order == "reuse";
        if (*order != "rank" && *order != "reuse") fields.fail("order", "must be rank or reuse");
    }
    fields.refuse_others();
    spolia.adopt(fields);
    return wanted;
}

bool is_for_client(const Error& error) {
    return error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kNotFound ||
           error.code == ErrorCode::kUnsupported;
}

ApiError retrieval_error(const Error& error, std::string_view prefix) {
    if (error.code == ErrorCode::kOverloaded) {
        return api_error({error.code, "no time to search for chunks; try again later"});
    }
    if (!is_for_client(error)) {
        return {503, "chunks can't be retrieved at present; the server's log says why",
                "server_error", "", "retrieval_failed"};
    }
    ApiError result = api_error(error);
    if (result.status == 404) result.param = std::string(prefix) + "collection";
    return result;
}

std::string last_user_text(const Json& messages) {
    const size_t last = last_user_message(messages);
    if (last == messages.size() || !messages[last].contains("content")) return {};
    const Json& content = messages[last]["content"];
    if (content.is_string()) return content.get<std::string>();
    std::string text;
    for (const Json& part : content) text += part["text"].get<std::string>() + "\n";
    return text;
}

Json with_retrieved(const Json& messages, std::span<const RetrievedChunk> chunks) {
    Json placed = messages;
    Json& content = placed[last_user_message(messages)]["content"];
    Json parts = Json::array();
    for (const RetrievedChunk& each : chunks) {
        parts.push_back({{"type", "text"}, {"text", each.chunk.text}});
    }
    if (content.is_string()) {
        parts.push_back({{"type", "text"}, {"text", content}});
    } else {
        for (const Json& part : content) parts.push_back(part);
    }
    content = std::move(parts);
    return placed;
}

Json retrieved_sources_json(std::span<const RetrievedSource> sources) {
    Json list = Json::array();
    for (const RetrievedSource& each : sources) {
        list.push_back({{"key", each.key.hex()},
                        {"source", each.source},
                        {"heading", each.heading},
                        {"score", each.score}});
    }
    return list;
}

std::string retrieved_json(std::string_view collection, std::span<const RetrievedChunk> chunks,
                           const std::vector<bool>& warm) {
    Json data = Json::array();
    for (size_t i = 0; i < chunks.size(); ++i) data.push_back(to_object(chunks[i], warm[i]));
    return dump({{"object", "list"}, {"collection", collection}, {"data", std::move(data)}});
}

std::string collections_json(std::span<const CollectionInfo> collections) {
    Json data = Json::array();
    for (const CollectionInfo& each : collections) {
        data.push_back({{"object", "collection"},
                        {"name", each.name},
                        {"documents", each.size.n_documents},
                        {"chunks", each.size.n_chunks},
                        {"bytes", each.size.text_bytes}});
    }
    return dump({{"object", "list"}, {"data", std::move(data)}});
}

}  // namespace spolia
