#include <vector>

#include "broker/http/handlers.h"
#include "broker/http/kept_context.h"
#include "broker/log.h"
#include "broker/rag/collection_service.h"
#include "broker/wire/retrieval.h"

namespace spolia {
namespace {

HttpResponse no_collections() {
    return error_response(ApiError{501, "this server has no collections", "not_supported_error", "",
                                   "not_supported"});
}

ReadyReply list_collections(const HandlerContext& context) {
    HttpResponse response;
    response.body =
        collections_json(context.collections->store().list(std::string(context.tenant)));
    return response;
}

ReadyReply delete_collection(const HandlerContext& context) {
    const Status removed =
        context.collections->store().remove(std::string(context.tenant), std::string(context.tail));
    if (!removed.ok()) return error_response(retrieval_error(removed.error(), ""));
    HttpResponse response;
    response.status = 204;
    return response;
}

ReadyReply retrieve(const HandlerContext& context) {
    const Parsed<RetrieveRequest> request =
        parse_retrieve_request(context.request.body, context.limits);
    if (!request.ok()) return error_response(request.error());
    const Result<std::vector<RetrievedChunk>> chunks = retrieval_of(context)(request->wanted);
    if (!chunks.ok()) return error_response(retrieval_error(chunks.error(), ""));
    const std::string salt = tenant_salt(context.tenant, request->cache_salt);
    std::vector<bool> warm;
    for (const RetrievedChunk& each : *chunks) {
        warm.push_back(context.service.is_warm(salt, each.chunk.text));
    }
    HttpResponse response;
    response.body = retrieved_json(request->wanted.collection, *chunks, warm);
    return response;
}

}  // namespace

Retrieve retrieval_of(const HandlerContext& context) {
    return [&store = context.collections->store(),
            tenant = std::string(context.tenant)](const Retrieval& wanted) {
        Result<std::vector<RetrievedChunk>> chunks =
            store.retrieve(tenant, wanted.collection, wanted.query, static_cast<size_t>(wanted.k));
        if (!chunks.ok() && !is_for_client(chunks.error())) {
            log_event(LogLevel::kWarning, "chunks could not be retrieved",
                      {{"tenant", tenant},
                       {"collection", wanted.collection},
                       {"error", chunks.error().message}});
        }
        return chunks;
    };
}

Reply handle_list_collections(const HandlerContext& context) {
    if (context.collections == nullptr) return no_collections();
    return answer_from_collections(context, list_collections);
}

Reply handle_delete_collection(const HandlerContext& context) {
    if (context.collections == nullptr) return no_collections();
    return answer_from_collections(context, delete_collection);
}

Reply handle_retrieve(const HandlerContext& context) {
    if (context.collections == nullptr) return no_collections();
    return answer_from_collections(context, retrieve);
}

}  // namespace spolia
