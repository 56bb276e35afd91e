#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "broker/request.h"

namespace spolia {

// Changes a llama-server's answer to a prompt that was put into its slot, as it passes: adds the
// receipt where the server wrote its timings, and has cached_tokens count exact rows only, since
// the server takes all that it found in the slot for a hit of its cache. All else stays byte by
// byte.
class ReceiptWriter {
public:
    // Bytes that wait for the rest of a body or of an event; what is longer passes as it is.
    static constexpr size_t kHeldBytesMax = size_t{4} << 20;

    // `events`: the body is text/event-stream.
    ReceiptWriter(const Receipt& receipt, bool events);

    // What to send in place of these bytes; until the next call. Whole events never wait.
    std::string_view pass(std::string_view bytes, bool last);

private:
    void pass_events(std::string_view bytes, bool last);
    void pass_line(std::string_view line);
    void append_changed(std::string_view json);

    const std::string receipt_;  // as JSON
    const int32_t n_exact_;
    const bool events_;
    std::string held_;
    bool too_long_ = false;  // what held_ would have
    std::string out_;
};

}  // namespace spolia
