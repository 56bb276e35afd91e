#include "broker/wire/api_error.h"

#include "broker/wire/json.h"

namespace spolia {

ApiError bad_request(std::string message, std::string param, std::string code) {
    ApiError error;
    error.message = std::move(message);
    error.param = std::move(param);
    error.code = std::move(code);
    return error;
}

ApiError api_error(const Error& error) {
    const auto make = [&](int status, const char* type, const char* code) {
        return ApiError{status, error.message, type, "", code};
    };
    switch (error.code) {
        case ErrorCode::kInvalidArgument: return make(400, "invalid_request_error", "");
        case ErrorCode::kNotFound: return make(404, "not_found_error", "not_found");
        case ErrorCode::kUnsupported: return make(400, "invalid_request_error", "unsupported");
        case ErrorCode::kContextTooLong:
            return make(400, "invalid_request_error", "context_length_exceeded");
        case ErrorCode::kOverloaded: return make(429, "rate_limit_error", "overloaded");
        case ErrorCode::kOutOfMemory: return make(503, "server_error", "out_of_memory");
        case ErrorCode::kCancelled: return make(503, "server_error", "cancelled");
        case ErrorCode::kCorrupt:
        case ErrorCode::kIo:
        case ErrorCode::kInternal: break;
    }
    return make(500, "server_error", "internal_error");
}

std::string to_json(const ApiError& error) {
    const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
    return dump({{"error",
                  {{"message", error.message},
                   {"type", error.type},
                   {"param", or_null(error.param)},
                   {"code", or_null(error.code)}}}});
}

}  // namespace spolia
