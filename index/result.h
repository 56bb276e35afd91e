#pragma once

#include <cassert>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace spolia {

// What kind of failure an expected error is. The broker maps each to an HTTP status.
enum class ErrorCode {
    kInvalidArgument,  // the caller's input is wrong; retrying the same input fails again
    kNotFound,
    kUnsupported,     // valid, but this model, build or machine can't do it
    kContextTooLong,  // the prompt does not fit the sequence's context
    kCorrupt,         // stored or received data failed its checks
    kIo,              // the operating system refused a read or a write
    kOutOfMemory,
    kOverloaded,  // a bounded queue is full; try again later
    kCancelled,
    kInternal,
};

std::string_view to_string(ErrorCode code);

// An expected failure. `message` says what happened, where, and what to do about it, in one
// line that can be shown to a user.
struct Error {
    ErrorCode code = ErrorCode::kInternal;
    std::string message;
};

inline Error invalid(std::string message) {
    return {ErrorCode::kInvalidArgument, std::move(message)};
}

// A value or an expected failure. Programmer errors are asserted, not returned.
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& value() & {
        assert(ok());
        return *std::get_if<0>(&state_);
    }
    const T& value() const& {
        assert(ok());
        return *std::get_if<0>(&state_);
    }
    T&& value() && {
        assert(ok());
        return std::move(*std::get_if<0>(&state_));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const Error& error() const& {
        assert(!ok());
        return *std::get_if<1>(&state_);
    }
    Error&& error() && {
        assert(!ok());
        return std::move(*std::get_if<1>(&state_));
    }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)), ok_(false) {}

    bool ok() const { return ok_; }
    explicit operator bool() const { return ok_; }
    const Error& error() const& {
        assert(!ok_);
        return error_;
    }
    Error&& error() && {
        assert(!ok_);
        return std::move(error_);
    }

private:
    Error error_;
    bool ok_ = true;
};

using Status = Result<void>;

}  // namespace spolia
