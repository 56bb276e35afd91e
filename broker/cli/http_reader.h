#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace spolia {

// Cuts HTTP/1.1 messages, requests or replies, out of a byte stream, for the two ends of a bench
// that both are ours: a body has a Content-Length or comes in chunks, else there is none. Cheap, so
// that a bench measures the server between the ends.
class HttpReader {
public:
    // Takes bytes up to the message's end and appends what they hold of its body, decoded. Returns
    // how many it took: all of them unless the message is done() or broken().
    size_t take(std::string_view bytes, std::string& body);

    bool done() const { return state_ == State::kDone; }
    // What comes is no message, or one with a head above 16 KiB.
    bool broken() const { return state_ == State::kBroken; }
    // Request or status line and the fields, once they are complete.
    std::string_view head() const { return head_; }

    // For the next message.
    void restart();

private:
    enum class State : uint8_t {
        kHead,
        kBody,
        kChunkSize,
        kChunk,
        kChunkEnd,
        kTrailer,
        kDone,
        kBroken
    };

    size_t take_head(std::string_view bytes);
    void begin_body();
    size_t take_line(std::string_view bytes);
    size_t take_body(std::string_view bytes, std::string& body);

    State state_ = State::kHead;
    std::string head_;
    std::string line_;
    uint64_t left_ = 0;  // of the body or the chunk
};

}  // namespace spolia
