#include "broker/cli/chat_request.h"

#include <string_view>

namespace spolia {
namespace {

std::string post(const std::string& body) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "
           "application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace

std::string chat_body(size_t bytes) {
    std::string body = R"({"model":"stub","max_tokens":80,"messages":[{"role":"user","content":")";
    const std::string end = R"("}]})";
    constexpr std::string_view kWords = "some words to ask about ";
    for (size_t i = 0; body.size() + end.size() < bytes; ++i) body += kWords[i % kWords.size()];
    return body + end;
}

std::string chat_request(size_t bytes) { return post(chat_body(bytes)); }

std::string stream_request(int events, std::chrono::microseconds interval) {
    return post(R"({"model":"stub","stream":true,"stub_events":)" + std::to_string(events) +
                R"(,"stub_interval_us":)" + std::to_string(interval.count()) +
                R"(,"messages":[{"role":"user","content":"some words to ask about"}]})");
}

}  // namespace spolia
