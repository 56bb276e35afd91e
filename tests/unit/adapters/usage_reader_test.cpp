#include "adapters/openai/usage_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace spolia {
namespace {

UpstreamUsage read(bool events, std::string_view body, size_t piece = 1 << 20,
                   size_t kept_bytes_max = UsageReader::kKeptBytesMax) {
    UsageReader reader(events, kept_bytes_max);
    for (size_t at = 0; at < body.size(); at += piece) reader.take(body.substr(at, piece));
    return reader.finish();
}

const std::string kUsage =
    R"("usage":{"prompt_tokens":120,"total_tokens":127,"completion_tokens":7,)"
    R"("prompt_tokens_details":{"cached_tokens":96}})";
const std::string kTimings = R"("timings":{"cache_n":96,"prompt_n":24,"prompt_ms":12.5,)"
                             R"("predicted_n":7,"predicted_ms":70.25})";

std::string event(const std::string& json) { return "data: " + json + "\n\n"; }

std::string stream() {
    return ": ping\n\n" +
           event(R"({"choices":[{"delta":{"content":"a \"usage\": {"}}],"usage":null})") +
           event(R"({"choices":[{"delta":{"content":"\\\"timings\":{}"}}],"usage":null})") +
           event("{\"choices\":[]," + kUsage + "," + kTimings + "}") + event("[DONE]");
}

void expect_read(const UpstreamUsage& usage) {
    EXPECT_EQ(usage.prompt_tokens, 120);
    EXPECT_EQ(usage.completion_tokens, 7);
    EXPECT_EQ(usage.cached_tokens, 96);
    ASSERT_TRUE(usage.timings.has_value());
    EXPECT_EQ(usage.timings->cache_n, 96);
    EXPECT_EQ(usage.timings->prompt_n, 24);
    EXPECT_EQ(usage.timings->prompt_ms, 12.5);
    EXPECT_EQ(usage.timings->predicted_n, 7);
    EXPECT_EQ(usage.timings->predicted_ms, 70.25);
}

TEST(UsageReaderTest, ReadsWholeBodies) {
    expect_read(read(false, "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\n " + kUsage + ", " +
                                kTimings + "}"));
}

TEST(UsageReaderTest, ReadsStreamsCutAnywhere) {
    for (size_t piece = 1; piece < 90; ++piece) expect_read(read(true, stream(), piece));
    std::string carriage;
    for (const char c : stream()) carriage += c == '\n' ? std::string("\r\n") : std::string(1, c);
    expect_read(read(true, carriage, 13));
}

TEST(UsageReaderTest, AStreamMayEndWithoutALineFeed) {
    std::string body = event("{\"choices\":[]," + kUsage + "," + kTimings + "}");
    expect_read(read(true, body.substr(0, body.size() - 2), 50));
}

TEST(UsageReaderTest, WhatIsNotSaidIsNotKnown) {
    for (const std::string body :
         {"", "{}", "{\"usage\":null}", "{\"usage\":{\"prompt_tokens\":", "no",
          "{\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":\"5\"}}"}) {
        const UpstreamUsage usage = read(false, body);
        EXPECT_FALSE(usage.prompt_tokens.has_value()) << body;
        EXPECT_FALSE(usage.completion_tokens.has_value()) << body;
        EXPECT_FALSE(usage.timings.has_value()) << body;
    }
    const UpstreamUsage usage =
        read(false, R"({"usage":{"prompt_tokens":5,"prompt_tokens_details":null}})");
    EXPECT_EQ(usage.prompt_tokens, 5);
    EXPECT_FALSE(usage.cached_tokens.has_value());
}

TEST(UsageReaderTest, TextThatLooksLikeUsageIsNone) {
    const UpstreamUsage usage =
        read(false, R"({"choices":[{"text":"{\"usage\":{\"prompt_tokens\":9}}"}],"x":["usage"]})");
    EXPECT_FALSE(usage.prompt_tokens.has_value());
}

TEST(UsageReaderTest, ReadsTheNamesOfResponses) {
    const UpstreamUsage usage =
        read(true, event(R"({"type":"response.completed","response":{"usage":{"input_tokens":5,)"
                         R"("input_tokens_details":{"cached_tokens":4},"output_tokens":2}}})"));
    EXPECT_EQ(usage.prompt_tokens, 5);
    EXPECT_EQ(usage.cached_tokens, 4);
    EXPECT_EQ(usage.completion_tokens, 2);
}

TEST(UsageReaderTest, LongBodiesAreReadFromTheirEnd) {
    const std::string long_text(5000, 'x');
    const std::string body = "{\"text\":\"" + long_text + "\"," + kUsage + "," + kTimings + "}";
    for (const size_t piece : {1, 7, 999, 1000000}) expect_read(read(false, body, piece, 512));
    const std::string front = "{" + kUsage + ",\"text\":\"" + long_text + "\"}";
    EXPECT_FALSE(read(false, front, 100, 512).prompt_tokens.has_value());
}

TEST(UsageReaderTest, LongEventsAreLeftOutAndLaterOnesRead) {
    const std::string body = event("{\"text\":\"" + std::string(5000, 'x') + "\"," + kUsage + "}");
    for (const size_t piece : {1, 300, 1000000}) {
        EXPECT_FALSE(read(true, body, piece, 512).prompt_tokens.has_value());
        expect_read(read(true, body + stream(), piece, 512));
    }
}

TEST(UsageReaderTest, AnyBytesAreSafe) {
    const uint64_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int i = 0; i < 3000; ++i) {
        std::string body = stream();
        for (int n = 0; n < 4; ++n) {
            const size_t at = random() % body.size();
            if (random() % 2 == 0)
                body.erase(at, random() % 40);
            else
                body[at] = static_cast<char>(random());
            if (body.empty()) body = "x";
        }
        const UpstreamUsage usage = read(i % 2 == 0, body, 1 + random() % 50, 1 + random() % 400);
        EXPECT_GE(usage.prompt_tokens.value_or(0), 0);
    }
}

}  // namespace
}  // namespace spolia
