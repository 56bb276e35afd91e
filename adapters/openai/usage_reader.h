#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spolia {

// llama.cpp's `timings`: times in ms.
struct UpstreamTimings {
    int64_t cache_n = 0;
    int64_t prompt_n = 0;
    double prompt_ms = 0;
    int64_t predicted_n = 0;
    double predicted_ms = 0;
};

// What a server said of a response's tokens. nullopt: it did not say.
struct UpstreamUsage {
    std::optional<int64_t> prompt_tokens;
    std::optional<int64_t> completion_tokens;
    std::optional<int64_t> cached_tokens;
    std::optional<UpstreamTimings> timings;
};

// Reads the usage out of a response's body that passes by, in pieces cut anywhere: one JSON
// object, or server-sent events. Keeps at most twice kept_bytes_max: of a body in one piece its
// end, which is where servers write the usage; an event that is longer is not read, events with
// usage are some hundred bytes. What is further in front of a body's end is not found.
class UsageReader {
public:
    static constexpr size_t kKeptBytesMax = 64 << 10;

    // `events`: the body is text/event-stream.
    explicit UsageReader(bool events, size_t kept_bytes_max = kKeptBytesMax)
        : events_(events), kept_bytes_max_(kept_bytes_max) {}

    void take(std::string_view bytes);
    // Once, behind the last byte. Of several usages in a stream each value's last one counts.
    UpstreamUsage finish();

private:
    void take_lines(std::string_view bytes);
    void take_line(std::string_view line);
    void keep_end(std::string_view bytes);
    void read(std::string_view json);

    const bool events_;
    const size_t kept_bytes_max_;
    std::string kept_;       // the end of the body, or the start of an event's line
    bool too_long_ = false;  // the line that kept_ would have
    UpstreamUsage usage_;
};

}  // namespace spolia
