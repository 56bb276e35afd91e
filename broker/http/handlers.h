#pragma once

#include <string>
#include <string_view>

#include "broker/http/reply.h"

namespace spolia {

class CollectionService;

// What a handler works with. Borrows; lives as long as the call.
struct HandlerContext {
    Service& service;
    const HttpRequest& request;
    std::string_view tenant;
    std::string_view tail;  // of the path, where the route ends in "*"
    std::string_view alias;
    JsonLimits limits;
    int64_t started;                           // Unix time
    CollectionService* collections = nullptr;  // null: there are none
};

// GET and DELETE have no body: the salt stands in the query.
std::string salt_of(const HandlerContext& context);

// Searches in the tenant's collections, which there must be. Outlives the context. What fails on
// the server's side is logged: see retrieval_error().
Retrieve retrieval_of(const HandlerContext& context);

Reply handle_chat(const HandlerContext& context);
Reply handle_completion(const HandlerContext& context);
Reply handle_plan(const HandlerContext& context);
Reply handle_embeddings(const HandlerContext& context);
Reply handle_models(const HandlerContext& context);
Reply handle_tokenize(const HandlerContext& context);
Reply handle_detokenize(const HandlerContext& context);
Reply handle_apply_template(const HandlerContext& context);
Reply handle_metrics(const HandlerContext& context);
Reply handle_stats(const HandlerContext& context);
Reply handle_receipt(const HandlerContext& context);
Reply handle_put_chunks(const HandlerContext& context);
Reply handle_list_chunks(const HandlerContext& context);
Reply handle_get_chunk(const HandlerContext& context);
Reply handle_delete_chunk(const HandlerContext& context);
Reply handle_list_collections(const HandlerContext& context);
Reply handle_delete_collection(const HandlerContext& context);
Reply handle_retrieve(const HandlerContext& context);

}  // namespace spolia
