#include "broker/http/kept_context.h"

#include <exception>
#include <utility>

#include "broker/rag/collection_service.h"

namespace spolia {

Reply answer_from_collections(const HandlerContext& context,
                              std::function<ReadyReply(const HandlerContext&)> answer) {
    Deferred deferred;
    deferred.start = [kept = KeptContext(context), answer = std::move(answer),
                      &collections = *context.collections](const Deferred::Finish& finish,
                                                           const std::stop_token& gone) {
        const Status queued = collections.run([kept, answer, finish, gone] {
            if (gone.stop_requested()) return;
            try {
                finish(answer(kept.view()));
            } catch (const std::exception& failure) {
                finish(error_response(api_error(Error{ErrorCode::kInternal, failure.what()})));
            }
        });
        if (!queued.ok()) finish(error_response(api_error(queued.error())));
    };
    return deferred;
}

}  // namespace spolia
