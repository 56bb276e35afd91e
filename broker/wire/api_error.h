#pragma once

#include <cassert>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "index/result.h"

namespace spolia {

// A failure as OpenAI's API shows it. Empty param and code are null in JSON.
struct ApiError {
    int status = 400;
    std::string message;
    std::string type = "invalid_request_error";
    std::string param;  // the field of the request that is wrong: "messages[0].content"
    std::string code;   // for programs: "context_length_exceeded"
};

ApiError bad_request(std::string message, std::string param = {}, std::string code = {});
ApiError api_error(const Error& error);

// {"error": {"message", "type", "param", "code"}}
std::string to_json(const ApiError& error);

// What a request's body says, or why it was refused.
template <class T>
class [[nodiscard]] Parsed {
public:
    Parsed(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Parsed(ApiError error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const { return state_.index() == 0; }

    T& operator*() {
        assert(ok());
        return *std::get_if<0>(&state_);
    }
    const T& operator*() const {
        assert(ok());
        return *std::get_if<0>(&state_);
    }
    T* operator->() { return &**this; }
    const T* operator->() const { return &**this; }
    const ApiError& error() const {
        assert(!ok());
        return *std::get_if<1>(&state_);
    }

private:
    std::variant<T, ApiError> state_;
};

}  // namespace spolia
