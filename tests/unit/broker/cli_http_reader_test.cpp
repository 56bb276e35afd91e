#include "broker/cli/http_reader.h"

#include <gtest/gtest.h>

#include <random>

namespace spolia {
namespace {

std::string body_of_whole(HttpReader& reader, std::string_view bytes) {
    std::string body;
    EXPECT_EQ(reader.take(bytes, body), bytes.size());
    EXPECT_TRUE(reader.done());
    return body;
}

TEST(HttpReader, TakesABodyOfALength) {
    HttpReader reader;
    EXPECT_EQ(body_of_whole(reader, "HTTP/1.1 200 OK\r\ncontent-length:  5 \r\n\r\nhello"),
              "hello");
    EXPECT_TRUE(reader.head().starts_with("HTTP/1.1 200 OK\r\n"));
}

TEST(HttpReader, TakesChunksWithExtensionsAndTrailers) {
    HttpReader reader;
    EXPECT_EQ(body_of_whole(reader,
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
                            "3\r\nabc\r\nA;name=value\r\n0123456789\r\n0\r\nX: y\r\n\r\n"),
              "abc0123456789");
}

TEST(HttpReader, HasNoBodyWithoutALength) {
    HttpReader reader;
    EXPECT_EQ(body_of_whole(reader, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"), "");
    reader.restart();
    EXPECT_EQ(body_of_whole(reader, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "");
}

TEST(HttpReader, SkipsAnInterimReply) {
    HttpReader reader;
    EXPECT_EQ(body_of_whole(reader,
                            "HTTP/1.1 100 Continue\r\n\r\n"
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
              "ok");
    EXPECT_TRUE(reader.head().starts_with("HTTP/1.1 200"));
}

TEST(HttpReader, LeavesTheNextMessage) {
    HttpReader reader;
    const std::string_view two = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    std::string body;
    EXPECT_EQ(reader.take(two, body), two.size() / 2);
    EXPECT_TRUE(reader.done());
    reader.restart();
    EXPECT_EQ(reader.take(two.substr(two.size() / 2), body), two.size() / 2);
    EXPECT_TRUE(reader.head().starts_with("GET /b"));
}

TEST(HttpReader, BreaksOnWhatIsNoMessage) {
    const std::string long_head = "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x');
    const std::string long_size =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(300, '0');
    for (const std::string& bytes :
         {std::string("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), long_head,
          long_size}) {
        HttpReader reader;
        std::string body;
        reader.take(bytes, body);
        EXPECT_TRUE(reader.broken()) << bytes.substr(0, 60);
    }
}

// However the bytes come, what is read is the same.
TEST(HttpReader, DoesNotDependOnWhereBytesAreCut) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 200; ++round) {
        std::string content, chunks;
        const size_t n_chunks = random() % 5;
        for (size_t i = 0; i < n_chunks; ++i) {
            const std::string chunk(1 + random() % 40, static_cast<char>('a' + random() % 26));
            content += chunk;
            char size[16];
            std::snprintf(size, sizeof size, "%zx\r\n", chunk.size());
            chunks += size + chunk + "\r\n";
        }
        const bool chunked = random() % 2 == 0;
        const std::string message =
            chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n"
                    : "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(content.size()) +
                          "\r\n\r\n" + content;
        HttpReader reader;
        std::string body;
        for (size_t at = 0; at < message.size();) {
            const std::string piece = message.substr(at, 1 + random() % 7);
            ASSERT_EQ(reader.take(piece, body), piece.size());
            at += piece.size();
            ASSERT_EQ(reader.done(), at == message.size()) << message;
        }
        ASSERT_EQ(body, content);
    }
}

}  // namespace
}  // namespace spolia
