#include "broker/proxy/pass_through.h"

#include <algorithm>

namespace spolia {

Reply PassThrough::route(const HttpRequest&, std::string_view) {
    Forward forward;
    forward.candidates = by_load(upstreams_, turn_++);
    return forward;
}

bool PassThrough::ready() const {
    return std::ranges::any_of(upstreams_,
                               [](const auto& upstream) { return upstream->answers(); });
}

}  // namespace spolia
