#pragma once

#include <functional>
#include <string>

#include "broker/http/handlers.h"

namespace spolia {

// A handler's context that lives on behind the call: all that it borrowed but the services, which
// outlive their requests.
class KeptContext {
public:
    explicit KeptContext(const HandlerContext& context)
        : service_(context.service),
          collections_(context.collections),
          request_(context.request),
          tenant_(context.tenant),
          tail_(context.tail),
          alias_(context.alias),
          limits_(context.limits),
          started_(context.started) {}

    HandlerContext view() const {
        return {service_, request_, tenant_, tail_, alias_, limits_, started_, collections_};
    }

private:
    Service& service_;
    CollectionService* collections_;
    HttpRequest request_;
    std::string tenant_;
    std::string tail_;
    std::string alias_;
    JsonLimits limits_;
    int64_t started_;
};

// Answers on a thread of the collections' own, as `answer` says. There must be collections.
Reply answer_from_collections(const HandlerContext& context,
                              std::function<ReadyReply(const HandlerContext&)> answer);

}  // namespace spolia
