#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config.h"

namespace spolia {

// Who may call, by bearer key.
class Authenticator {
public:
    explicit Authenticator(std::vector<ApiKey> keys);

    // The tenant of an Authorization header's value; nullopt when it shows no known key. Without
    // keys everybody is the only tenant. Takes the same time for every key of one length.
    std::optional<std::string> tenant_of(std::string_view authorization) const;

private:
    std::vector<ApiKey> keys_;
};

}  // namespace spolia
