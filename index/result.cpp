#include "index/result.h"

namespace spolia {

std::string_view to_string(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalidArgument: return "invalid_argument";
        case ErrorCode::kNotFound: return "not_found";
        case ErrorCode::kUnsupported: return "unsupported";
        case ErrorCode::kContextTooLong: return "context_too_long";
        case ErrorCode::kCorrupt: return "corrupt";
        case ErrorCode::kIo: return "io";
        case ErrorCode::kOutOfMemory: return "out_of_memory";
        case ErrorCode::kOverloaded: return "overloaded";
        case ErrorCode::kCancelled: return "cancelled";
        case ErrorCode::kInternal: return "internal";
    }
    return "internal";
}

}  // namespace spolia
