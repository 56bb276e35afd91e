#include "broker/http/auth.h"

#include <algorithm>
#include <cctype>

namespace spolia {
namespace {

// Looks at every byte of `given`, whatever it finds.
bool equal_in_constant_time(std::string_view given, std::string_view key) {
    volatile unsigned char difference = given.size() == key.size() ? 0 : 1;
    for (size_t i = 0; i < given.size(); ++i) {
        const auto a = static_cast<unsigned char>(given[i]);
        const auto b = static_cast<unsigned char>(key[i % key.size()]);
        difference = static_cast<unsigned char>(difference | (a ^ b));
    }
    return difference == 0;
}

std::string_view bearer_token(std::string_view authorization) {
    constexpr std::string_view kScheme = "bearer ";
    if (authorization.size() < kScheme.size()) return {};
    const bool bearer = std::equal(
        kScheme.begin(), kScheme.end(), authorization.begin(), [](char scheme, char given) {
            return scheme == std::tolower(static_cast<unsigned char>(given));
        });
    if (!bearer) return {};
    std::string_view token = authorization.substr(kScheme.size());
    token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));
    return token.substr(0, token.find_last_not_of(' ') + 1);
}

}  // namespace

Authenticator::Authenticator(std::vector<ApiKey> keys) : keys_(std::move(keys)) {}

std::optional<std::string> Authenticator::tenant_of(std::string_view authorization) const {
    if (keys_.empty()) return std::string();
    const std::string_view token = bearer_token(authorization);
    const ApiKey* match = nullptr;
    for (const ApiKey& key : keys_) {
        if (equal_in_constant_time(token, key.key)) match = &key;
    }
    if (match == nullptr) return std::nullopt;
    return match->tenant;
}

}  // namespace spolia
