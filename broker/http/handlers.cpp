#include "broker/http/handlers.h"

#include <ctime>

#include "broker/http/kept_context.h"
#include "broker/wire/receipt.h"
#include "broker/wire/status.h"
#include "broker/wire/text_requests.h"

namespace spolia {
namespace {

HttpResponse json_or_error(const Parsed<std::string>& body) {
    return body.ok() ? json_response(*body) : error_response(body.error());
}

// Names that clients may give the model, the shown one first.
std::vector<std::string> model_names(const HandlerContext& context) {
    const std::string& own = context.service.model().name;
    if (context.alias.empty()) return {own};
    return {std::string(context.alias), own};
}

template <class T>
using ParseFunction = Parsed<T> (*)(std::string_view, const RequestContext&);

template <class T>
Parsed<T> parse(const HandlerContext& context, const Retrieve& retrieve,
                ParseFunction<T> function) {
    const std::vector<std::string> names = model_names(context);
    return function(context.request.body, RequestContext{context.service.text(), names,
                                                         context.tenant, context.limits, retrieve});
}

ReadyReply generate(const HandlerContext& context, const Retrieve& retrieve,
                    ParseFunction<ParsedRequest> function) {
    Parsed<ParsedRequest> request = parse(context, retrieve, function);
    if (!request.ok()) return error_response(request.error());
    GenerationReply generation;
    generation.service = &context.service;
    generation.head = {request->surface, request->generate.id, model_names(context).front(),
                       std::time(nullptr), std::move(request->retrieved)};
    generation.request = std::move(*request);
    return generation;
}

ReadyReply generate_chat(const HandlerContext& context, const Retrieve& retrieve) {
    return generate(context, retrieve, parse_chat_request);
}

ReadyReply preview_plan(const HandlerContext& context, const Retrieve& retrieve) {
    const Parsed<ParsedRequest> request = parse(context, retrieve, parse_plan_request);
    if (!request.ok()) return error_response(request.error());
    const Result<PlanPreview> plan = context.service.plan(request->generate);
    if (!plan.ok()) return error_response(submit_error(plan.error(), *request));
    return json_response(plan_json(*plan));
}

ReadyReply apply_template(const HandlerContext& context, const Retrieve& retrieve) {
    return json_or_error(parse(context, retrieve, render_prompt));
}

Reply now(ReadyReply&& reply) {
    return std::visit([](auto&& each) -> Reply { return std::move(each); }, std::move(reply));
}

// Answers right away, unless the request turns out to want chunks: searches may take a while, so it
// is then parsed again on a thread that may wait for them.
Reply answer(const HandlerContext& context,
             ReadyReply (*function)(const HandlerContext&, const Retrieve&)) {
    if (context.collections == nullptr) return now(function(context, {}));
    bool wants_chunks = false;
    ReadyReply reply = function(context, [&wants_chunks](const Retrieval&) {
        wants_chunks = true;
        return Result<std::vector<RetrievedChunk>>(
            Error{ErrorCode::kCancelled, "not on a connection's thread"});
    });
    if (!wants_chunks) return now(std::move(reply));
    return answer_from_collections(context, [function](const HandlerContext& kept) {
        return function(kept, retrieval_of(kept));
    });
}

}  // namespace

std::string salt_of(const HandlerContext& context) {
    const auto found = context.request.query.find("cache_salt");
    const bool given = found != context.request.query.end();
    return tenant_salt(context.tenant, given ? std::string_view(found->second) : "");
}

Reply handle_chat(const HandlerContext& context) { return answer(context, generate_chat); }

Reply handle_completion(const HandlerContext& context) {
    return now(generate(context, {}, parse_completion_request));
}

Reply handle_plan(const HandlerContext& context) { return answer(context, preview_plan); }

Reply handle_embeddings(const HandlerContext&) {
    return error_response(ApiError{501, "this model does not make embeddings",
                                   "not_supported_error", "", "not_supported"});
}

Reply handle_models(const HandlerContext& context) {
    return json_or_error(
        models_json(context.service.model(), model_names(context).front(), context.started));
}

Reply handle_tokenize(const HandlerContext& context) {
    return json_or_error(
        tokenize_response(context.request.body, context.service.text(), context.limits));
}

Reply handle_detokenize(const HandlerContext& context) {
    return json_or_error(
        detokenize_response(context.request.body, context.service.text(), context.limits));
}

Reply handle_apply_template(const HandlerContext& context) {
    return answer(context, apply_template);
}

Reply handle_metrics(const HandlerContext& context) {
    HttpResponse response;
    response.body = context.service.metrics_text();
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
}

Reply handle_stats(const HandlerContext& context) {
    return json_response(stats_json(context.service.stats()));
}

Reply handle_receipt(const HandlerContext& context) {
    const Result<Receipt> receipt =
        context.service.receipt(salt_of(context), std::string(context.tail));
    if (!receipt.ok()) return error_response(api_error(receipt.error()));
    return json_response(receipt_response(context.tail, *receipt));
}

}  // namespace spolia
