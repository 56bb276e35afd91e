#include "broker/http/client.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <future>
#include <stop_token>

#include "tests/support/stub_server.h"

namespace spolia {
namespace {

using std::chrono::milliseconds;
using testing::stub_response;
using testing::StubRequest;
using testing::StubServer;

using Events = std::vector<std::string>;

constexpr const char* kEvents =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    "data: one\n\n: comment\n\ndata: two\r\n\r\ndata: [DONE]\n\n";

TEST(HttpClientTest, SendsAndReceives) {
    StubServer server(
        [](const StubRequest&) { return stub_response(503, "later", "Retry-After: 3\r\n"); });
    HttpClient client("127.0.0.1", server.port());
    client.set_header("Authorization", "Bearer key");
    const Result<HttpReply> reply = client.call("PUT", "/x?y=z", "{}");
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_EQ(reply->status, 503);
    EXPECT_EQ(reply->body, "later");
    EXPECT_EQ(reply->retry_after, "3");
    ASSERT_TRUE(client.call("GET", "/").ok());
    const std::vector<StubRequest> requests = server.requests();
    ASSERT_EQ(requests.size(), 2u);
    EXPECT_TRUE(requests[0].head.starts_with("PUT /x?y=z HTTP/1.1\r\n")) << requests[0].head;
    EXPECT_NE(requests[0].head.find("Authorization: Bearer key"), std::string::npos);
    EXPECT_NE(requests[0].head.find("Content-Type: application/json"), std::string::npos);
    EXPECT_EQ(requests[0].body, "{}");
    EXPECT_EQ(requests[1].head.find("Content-Type"), std::string::npos);
}

TEST(HttpClientTest, StreamsEvents) {
    StubServer server([](const StubRequest& request) {
        const bool events = request.body == "events";
        return events ? kEvents : stub_response(400, "no events");
    });
    const HttpClient client("127.0.0.1", server.port());
    Events seen;
    const auto take = [&](std::string_view data) {
        seen.emplace_back(data);
        return true;
    };
    const Result<HttpReply> reply = client.stream("/", "events", take);
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(seen, (Events{"one", "two"}));

    seen.clear();
    const auto take_one = [&](std::string_view data) { return take(data) && false; };
    ASSERT_TRUE(client.stream("/", "events", take_one).ok());
    EXPECT_EQ(seen, Events{"one"});

    const Result<HttpReply> refused = client.stream("/", "other", take);
    ASSERT_TRUE(refused.ok());
    EXPECT_EQ(refused->body, "no events");
}

TEST(HttpClientTest, IsBounded) {
    StubServer server([](const StubRequest& request) -> std::optional<std::string> {
        if (request.body == "long") return stub_response(200, std::string(5000, 'x'));
        if (request.body == "half") return "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        return std::nullopt;
    });
    const HttpClient client("127.0.0.1", server.port(), milliseconds(100), 4096);
    for (const char* body : {"long", "half", "silent"}) {
        const Result<HttpReply> reply = client.call("POST", "/", body);
        ASSERT_FALSE(reply.ok()) << body;
        EXPECT_EQ(reply.error().code, ErrorCode::kIo);
        EXPECT_EQ(reply.error().message.find("no answer from 127.0.0.1:"), 0u);
    }
    const auto take = [](std::string_view) { return true; };
    EXPECT_FALSE(client.stream("/", "silent", take).ok());
}

// The server takes most of the timeout to read the request, and most of it to answer.
TEST(HttpClientTest, HasOneDeadlineForAllOfACall) {
    constexpr milliseconds kTimeout(400);
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    ASSERT_EQ(::bind(listener, any, size), 0);
    ASSERT_EQ(::listen(listener, 1), 0);
    ASSERT_EQ(::getsockname(listener, any, &size), 0);
    const std::string body(size_t{16} << 20, 'x');  // more than sockets hold
    std::thread server([&] {
        const int connection = ::accept(listener, nullptr, nullptr);
        std::this_thread::sleep_for(kTimeout * 5 / 8);
        std::string bytes(size_t{1} << 20, 0);
        size_t n_read = 0;
        while (n_read < body.size()) {
            const ssize_t n = ::recv(connection, bytes.data(), bytes.size(), 0);
            if (n <= 0) break;
            n_read += static_cast<size_t>(n);
        }
        std::this_thread::sleep_for(kTimeout * 5 / 8);
        const std::string answer = stub_response(200, "late");
        ::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
        ::close(connection);
    });
    const HttpClient client("127.0.0.1", ntohs(address.sin_port), kTimeout);
    EXPECT_FALSE(client.call("POST", "/", body).ok());
    server.join();
    ::close(listener);
}

TEST(HttpClientTest, FindsServersByName) {
    StubServer server([](const StubRequest&) { return stub_response(200, "here"); });
    const HttpClient client("localhost", server.port());
    ASSERT_TRUE(client.call("GET", "/").ok());
    const std::string host = "Host: localhost:" + std::to_string(server.port());
    EXPECT_NE(server.requests()[0].head.find(host), std::string::npos);
    EXPECT_FALSE(HttpClient("no-such-host.invalid", 80, milliseconds(1000)).call("GET", "/").ok());
}

TEST(HttpClientTest, StopsWhenToldTo) {
    std::promise<void> asked;
    StubServer server([&](const StubRequest&) -> std::optional<std::string> {
        asked.set_value();
        return std::nullopt;
    });
    HttpClient client("127.0.0.1", server.port());
    std::stop_source stop;
    client.set_stop(stop.get_token());
    auto reply = std::async(std::launch::async, [&] { return client.call("GET", "/"); });
    asked.get_future().wait();
    stop.request_stop();
    const Result<HttpReply> stopped = reply.get();
    ASSERT_FALSE(stopped.ok());
    EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
    EXPECT_EQ(client.call("GET", "/").error().code, ErrorCode::kCancelled) << "from here on";
}

// Without a file descriptor left there is no reply, and no more than that.
TEST(HttpClientTest, ReportsThatNoFileIsLeft) {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "UBSan opens a pipe to look at memory, and takes what it can't for broken";
#endif
    const HttpClient client("127.0.0.1", 9);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const int next = ::dup(0);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(next);
    ::close(next);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const Result<HttpReply> reply = client.call("GET", "/");
    ::setrlimit(RLIMIT_NOFILE, &before);
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().code, ErrorCode::kIo);
    EXPECT_NE(reply.error().message.find("open files"), std::string::npos) << reply.error().message;
}

}  // namespace
}  // namespace spolia
