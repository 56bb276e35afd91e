#include "broker/http/server.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "broker/log.h"
#include "tests/unit/broker/fake_service.h"
#include "tests/unit/broker/http_client.h"

namespace spolia {
namespace {

using Json = nlohmann::json;
using testing::ClientResponse;
using testing::HttpClient;
using testing::Stage;

constexpr const char* kChat = R"({"messages":[{"role":"user","content":"hi"}]})";
constexpr const char* kStream = R"({"messages":[{"role":"user","content":"hi"}],"stream":true})";
constexpr const char* kChatPath = "/v1/chat/completions";

class HttpServerTest : public ::testing::Test {
protected:
    HttpServerTest() {
        config_.server.port = 0;
        config_.server.n_threads = 2;
        config_.server.stop_grace_ms = 5000;
    }
    ~HttpServerTest() override {
        service_.join();
        if (server_) server_->stop();
    }

    void start() {
        router_ = std::make_unique<Router>(config_);
        router_->attach(service_);
        auto server = HttpServer::start(config_.server, *router_);
        ASSERT_TRUE(server.ok()) << server.error().message;
        server_ = *std::move(server);
    }

    uint16_t port() const { return server_->port(); }

    ClientResponse exchange(std::string_view method, std::string_view path,
                            std::string_view body = {}, std::string_view headers = {}) {
        HttpClient client(port());
        EXPECT_TRUE(client.request(method, path, body, headers));
        return client.response();
    }

    Config config_;
    testing::FakeService service_;
    std::unique_ptr<Router> router_;
    std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersAChat) {
    start();
    const ClientResponse response = exchange("POST", kChatPath, kChat);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.headers.at("x-spolia-policy"), "cacheblend");
    EXPECT_EQ(response.headers.at("x-spolia-exact"), "10");
    EXPECT_EQ(response.headers.at("access-control-allow-origin"), "*");
    EXPECT_EQ(response.headers.at("content-type"), "application/json; charset=utf-8");
    const Json json = Json::parse(response.body);
    EXPECT_EQ(json["choices"][0]["message"]["content"], "Hello world");
    EXPECT_TRUE(service_.cancelled().empty());
}

TEST_F(HttpServerTest, StreamsAChat) {
    start();
    const ClientResponse response = exchange("POST", kChatPath, kStream);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.headers.at("content-type"), "text/event-stream");
    EXPECT_EQ(response.headers.at("x-spolia-computed"), "40");
    EXPECT_EQ(response.body.rfind("data: {", 0), 0u);
    EXPECT_TRUE(response.body.ends_with("data: [DONE]\n\n"));
    EXPECT_NE(response.body.find(R"("content":"Hello")"), std::string::npos);
    EXPECT_TRUE(service_.cancelled().empty());
}

TEST_F(HttpServerTest, HeaderAndTextComeWhenTheyAreKnown) {
    std::atomic<int> step = 0;
    service_.set_script([&](Stage& stage) {
        stage.sink.on_start(testing::example_receipt());
        while (step < 1 && !stage.cancelled()) std::this_thread::yield();
        stage.sink.on_text("first", 1);
        while (step < 2 && !stage.cancelled()) std::this_thread::yield();
        stage.sink.on_done(testing::example_outcome());
    });
    start();
    HttpClient client(port());
    client.request("POST", kChatPath, kStream);
    EXPECT_NE(client.read_through("\r\n\r\n").find("200 OK"), std::string::npos);
    step = 1;
    EXPECT_FALSE(client.read_through("first").empty());
    step = 2;
    EXPECT_FALSE(client.read_through("[DONE]").empty());
}

TEST_F(HttpServerTest, LogsEveryTokenOfAPrompt) {
    service_.set_script([](Stage& stage) {
        GenerateOutcome outcome = testing::example_outcome();
        outcome.receipt.n_anchored = 7;
        outcome.receipt.n_donor = 11;
        stage.sink.on_start(outcome.receipt);
        stage.sink.on_done(outcome);
    });
    start_log(LogFormat::kText, LogLevel::kInfo);
    ::testing::internal::CaptureStderr();
    start();
    EXPECT_EQ(exchange("POST", kChatPath, kChat).status, 200);
    server_->stop();
    const std::string log = ::testing::internal::GetCapturedStderr();
    start_log(LogFormat::kText, LogLevel::kWarning);
    EXPECT_NE(log.find("exact=10 shifted=50 blended=15 anchored=7 donor=11 computed=25"), log.npos)
        << log;
}

TEST_F(HttpServerTest, ErrorsBeforeTheFirstByteHaveAStatus) {
    service_.set_script([](Stage& stage) {
        stage.sink.on_error(Error{ErrorCode::kContextTooLong, "the prompt is too long"});
    });
    start();
    for (const char* body : {kChat, kStream}) {
        const ClientResponse response = exchange("POST", kChatPath, body);
        EXPECT_EQ(response.status, 400);
        EXPECT_EQ(Json::parse(response.body)["error"]["code"], "context_length_exceeded");
    }
    service_.refuse_with(Error{ErrorCode::kOverloaded, "the queue is full"});
    const ClientResponse response = exchange("POST", kChatPath, kStream);
    EXPECT_EQ(response.status, 429);
    EXPECT_EQ(response.headers.at("retry-after"), "1");
}

TEST_F(HttpServerTest, LaterErrorsStandInTheStream) {
    service_.set_script([](Stage& stage) {
        stage.sink.on_start(testing::example_receipt());
        stage.sink.on_error(Error{ErrorCode::kOutOfMemory, "no room"});
    });
    start();
    const ClientResponse response = exchange("POST", kChatPath, kStream);
    EXPECT_EQ(response.status, 200);
    EXPECT_NE(response.body.find(R"(data: {"error":{"message":"no room")"), std::string::npos);
}

TEST_F(HttpServerTest, UnreadableOutputCancels) {
    service_.set_script([](Stage& stage) {
        stage.sink.on_start(testing::example_receipt());
        stage.sink.on_text("@broken", 1);
        stage.wait_for_cancel();
        stage.sink.on_done(testing::example_outcome(FinishReason::kCancelled));
    });
    start();
    EXPECT_EQ(exchange("POST", kChatPath, kChat).status, 500);
    EXPECT_NE(exchange("POST", kChatPath, kStream).body.find("unreadable output"),
              std::string::npos);
    EXPECT_TRUE(service_.wait_for_cancels(2));
}

TEST_F(HttpServerTest, HangingUpCancels) {
    std::atomic<int> n_started = 0;
    service_.set_script([&](Stage& stage) {
        ++n_started;
        stage.wait_for_cancel();
        stage.sink.on_done(testing::example_outcome(FinishReason::kCancelled));
    });
    start();
    for (const char* body : {kChat, kStream}) {
        HttpClient client(port());
        client.request("POST", kChatPath, body);
        const int wanted = body == kChat ? 1 : 2;
        while (n_started < wanted) std::this_thread::yield();
        EXPECT_EQ(service_.cancelled().size(), static_cast<size_t>(wanted - 1));
        client.close();
        EXPECT_TRUE(service_.wait_for_cancels(static_cast<size_t>(wanted)));
    }
}

TEST_F(HttpServerTest, HangingUpInTheMiddleCancels) {
    service_.set_script([](Stage& stage) {
        stage.sink.on_start(testing::example_receipt());
        while (!stage.cancelled()) {
            stage.sink.on_text("word ", 1);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        stage.sink.on_done(testing::example_outcome(FinishReason::kCancelled));
    });
    start();
    HttpClient client(port());
    client.request("POST", kChatPath, kStream);
    EXPECT_FALSE(client.read_through("word").empty());
    client.close();
    EXPECT_TRUE(service_.wait_for_cancels(1));
}

TEST_F(HttpServerTest, AClientThatDoesNotReadIsCutOff) {
    config_.server.stream_queue_bytes_max = 64 << 10;
    service_.set_script([](Stage& stage) {
        stage.sink.on_start(testing::example_receipt());
        const std::string text(16 << 10, 'x');
        // More than all the sockets' buffers hold.
        for (int i = 0; i < 20'000 && !stage.cancelled(); ++i) {
            stage.sink.on_text(text, 1);
            if (i % 4 == 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        stage.sink.on_done(testing::example_outcome(FinishReason::kCancelled));
    });
    start();
    HttpClient client(port(), 4096);
    client.request("POST", kChatPath, kStream);
    EXPECT_TRUE(service_.wait_for_cancels(1));
    EXPECT_EQ(client.read_to_end().find("[DONE]"), std::string::npos);
}

TEST_F(HttpServerTest, SlowHeadersAreNotWaitedFor) {
    config_.server.header_timeout_ms = 50;
    start();
    HttpClient client(port());
    client.send("POST /v1/completions HTTP/1.1\r\nHost:");
    EXPECT_TRUE(client.closes());
}

TEST_F(HttpServerTest, SlowBodiesAreNotWaitedFor) {
    config_.server.body_timeout_ms = 50;
    start();
    HttpClient client(port());
    client.send("POST /v1/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{\"prompt\":");
    EXPECT_TRUE(client.closes());
    EXPECT_EQ(service_.n_submitted(), 0u);
}

TEST_F(HttpServerTest, IdleConnectionsAreClosed) {
    config_.server.idle_timeout_ms = 50;
    start();
    HttpClient client(port());
    EXPECT_TRUE(client.closes());
}

TEST_F(HttpServerTest, KeepsConnectionsAlive) {
    start();
    HttpClient client(port());
    for (const char* body : {kChat, kStream, kChat}) {
        client.request("POST", kChatPath, body);
        EXPECT_EQ(client.response().status, 200);
    }
    client.request("GET", "/health", "", "Connection: close\r\n");
    EXPECT_EQ(client.response().headers.at("connection"), "close");
    EXPECT_TRUE(client.closes());
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
    start();
    HttpClient client(port());
    const std::string chat = std::string("POST ") + kChatPath + " HTTP/1.1\r\nContent-Length: " +
                             std::to_string(std::string(kChat).size()) + "\r\n\r\n" + kChat;
    client.send(chat + "GET /health HTTP/1.1\r\n\r\n" + chat + "GET /v1/models HTTP/1.1\r\n\r\n");
    EXPECT_NE(client.response().body.find("Hello world"), std::string::npos);
    EXPECT_EQ(client.response().body, R"({"status":"ok"})");
    EXPECT_NE(client.response().body.find("Hello world"), std::string::npos);
    EXPECT_NE(client.response().body.find("fake-model"), std::string::npos);
    EXPECT_TRUE(service_.cancelled().empty());
}

TEST_F(HttpServerTest, RequestsSentAheadDoNotEndTheOneBeingServed) {
    std::atomic<bool> go_on = false;
    service_.set_script([&](Stage& stage) {
        stage.sink.on_start(testing::example_receipt());
        while (!go_on && !stage.cancelled()) std::this_thread::yield();
        stage.sink.on_done(testing::example_outcome());
    });
    start();
    HttpClient client(port());
    client.request("POST", kChatPath, kStream);
    EXPECT_FALSE(client.read_through("assistant").empty());
    client.request("GET", "/health");
    go_on = true;
    EXPECT_FALSE(client.read_through("[DONE]\n\n\r\n0\r\n\r\n").empty());
    EXPECT_EQ(client.response().body, R"({"status":"ok"})");
}

TEST_F(HttpServerTest, TakesChunkedBodies) {
    start();
    HttpClient client(port());
    const std::string body = kChat;
    client.send("POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < body.size(); i += 16) {
        const std::string part = body.substr(i, 16);
        char size[8];
        std::snprintf(size, sizeof size, "%zx", part.size());
        client.send(std::string(size) + "\r\n" + part + "\r\n");
    }
    client.send("0\r\n\r\n");
    EXPECT_EQ(client.response().status, 200);
}

TEST_F(HttpServerTest, TakesTenMegabytes) {
    start();
    const std::string text(10'000'000, 'a');
    const std::string body = R"({"messages":[{"role":"user","content":")" + text + "\"}]}";
    EXPECT_EQ(exchange("POST", kChatPath, body).status, 200);
    EXPECT_EQ(service_.submitted(0).prompt.text.size(), text.size() + sizeof("<user>\n") - 1);
}

TEST_F(HttpServerTest, TellsTooLongBodiesSo) {
    config_.server.body_bytes_max = 1000;
    start();
    const std::string body(2'000'000, 'a');
    const ClientResponse response = exchange("POST", kChatPath, body);
    EXPECT_EQ(response.status, 413);
    EXPECT_EQ(Json::parse(response.body)["error"]["code"], "body_too_long");
    EXPECT_EQ(response.headers.at("connection"), "close");

    HttpClient client(port());
    client.send("POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
                std::string(2000, 'a') + "\r\n");
    EXPECT_EQ(client.response().status, 413);
}

TEST_F(HttpServerTest, TellsTooLongHeadersSo) {
    config_.server.header_bytes_max = 1000;
    start();
    EXPECT_EQ(exchange("GET", "/health", "", "X: " + std::string(2000, 'x') + "\r\n").status, 431);
}

TEST_F(HttpServerTest, AsksForTheBodyOnlyWhenItWantsIt) {
    config_.server.keys = {{"secret", "t"}};
    config_.server.body_bytes_max = 1000;
    start();
    const std::string head = std::string("POST ") + kChatPath +
                             " HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: " +
                             std::to_string(std::string(kChat).size()) + "\r\n";
    {
        HttpClient client(port());
        client.send(head + "Authorization: Bearer secret\r\n\r\n");
        EXPECT_EQ(client.response().status, 100);
        client.send(kChat);
        EXPECT_EQ(client.response().status, 200);
    }
    {
        HttpClient client(port());
        client.send(head + "\r\n");
        EXPECT_EQ(client.response().status, 401);
    }
    {
        HttpClient client(port());
        client.send(
            "POST /v1/completions HTTP/1.1\r\nExpect: 100-continue\r\n"
            "Authorization: Bearer secret\r\nContent-Length: 5000\r\n\r\n");
        EXPECT_EQ(client.response().status, 413);
    }
}

TEST_F(HttpServerTest, StrangersAreRefusedBeforeTheirBody) {
    config_.server.keys = {{"secret", "t"}};
    start();
    HttpClient client(port());
    client.send("POST /v1/completions HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n");
    const ClientResponse response = client.response();
    EXPECT_EQ(response.status, 401);
    EXPECT_EQ(response.headers.at("www-authenticate"), "Bearer");
    EXPECT_EQ(response.body.find("secret"), std::string::npos);
}

TEST_F(HttpServerTest, HeadHasTheHeaderOnly) {
    start();
    HttpClient client(port());
    client.request("HEAD", "/health");
    const ClientResponse head = client.response(true);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.headers.at("content-length"), "15");
    client.request("OPTIONS", kChatPath);
    EXPECT_EQ(client.response().status, 204);
    client.request("GET", "/health");
    EXPECT_EQ(client.response().body, R"({"status":"ok"})");
}

TEST_F(HttpServerTest, RefusesWhatIsNoHttp) {
    start();
    for (const char* bytes : {"nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                              "POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                              "GET /health HTTP/1.1\r\nBad Header\r\n\r\n"}) {
        HttpClient client(port());
        client.send(bytes);
        const ClientResponse response = client.response();
        EXPECT_EQ(response.status, 400) << bytes;
        EXPECT_TRUE(Json::accept(response.body)) << bytes;
    }
    EXPECT_EQ(exchange("GET", "/health").status, 200);
}

TEST_F(HttpServerTest, OldClientsGetStreamsThatEndWithTheConnection) {
    start();
    HttpClient client(port());
    client.send(std::string("POST ") + kChatPath + " HTTP/1.0\r\nContent-Length: " +
                std::to_string(std::string(kStream).size()) + "\r\n\r\n" + kStream);
    const ClientResponse response = client.response();
    EXPECT_EQ(response.status, 200);
    EXPECT_FALSE(response.headers.contains("transfer-encoding"));
    EXPECT_TRUE(response.body.ends_with("data: [DONE]\n\n"));
}

TEST_F(HttpServerTest, TurnsAwayWhoIsTooMany) {
    config_.server.connections_max = 1;
    start();
    HttpClient first(port());
    first.request("GET", "/health");
    EXPECT_EQ(first.response().status, 200);
    HttpClient second(port());
    const ClientResponse refused = second.response();
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(Json::parse(refused.body)["error"]["code"], "too_many_connections");
    first.request("GET", "/health");
    EXPECT_EQ(first.response().status, 200);
}

TEST_F(HttpServerTest, WaitsForChunksToBeEncoded) {
    start();
    const ClientResponse response = exchange("PUT", "/v1/chunks", R"({"text":"doc"})");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(Json::parse(response.body)["data"][0]["encoded"], true);
}

TEST_F(HttpServerTest, StoppingFinishesWhatRuns) {
    std::atomic<bool> started = false;
    std::atomic<bool> go_on = false;
    service_.set_script([&](Stage& stage) {
        stage.sink.on_start(testing::example_receipt());
        started = true;
        while (!go_on && !stage.cancelled()) std::this_thread::yield();
        stage.sink.on_text("finished", 1);
        stage.sink.on_done(testing::example_outcome());
    });
    start();
    HttpClient idle(port());
    idle.request("GET", "/health");
    EXPECT_EQ(idle.response().status, 200);
    HttpClient busy(port());
    busy.request("POST", kChatPath, kChat);
    while (!started) std::this_thread::yield();

    std::thread stopping([&] { server_->stop(); });
    EXPECT_TRUE(idle.closes());
    go_on = true;
    const ClientResponse response = busy.response();
    EXPECT_EQ(response.status, 200);
    EXPECT_NE(response.body.find("finished"), std::string::npos);
    EXPECT_EQ(response.headers.at("connection"), "close");
    stopping.join();
    EXPECT_TRUE(service_.cancelled().empty());
}

TEST_F(HttpServerTest, StoppingCancelsWhatDoesNotFinish) {
    config_.server.stop_grace_ms = 20;
    std::atomic<bool> started = false;
    service_.set_script([&](Stage& stage) {
        stage.sink.on_start(testing::example_receipt());
        started = true;
        stage.wait_for_cancel();
        stage.sink.on_done(testing::example_outcome(FinishReason::kCancelled));
    });
    start();
    HttpClient client(port());
    client.request("POST", kChatPath, kStream);
    while (!started) std::this_thread::yield();
    server_->stop();
    EXPECT_EQ(service_.cancelled().size(), 1u);
}

// The engine may still have events for a connection when server and threads are gone.
TEST_F(HttpServerTest, SinksOutliveTheServer) {
    config_.server.stop_grace_ms = 20;
    std::atomic<bool> started = false;
    std::atomic<bool> server_gone = false;
    service_.set_script([&](Stage& stage) {
        stage.sink.on_start(testing::example_receipt());
        started = true;
        while (!server_gone) std::this_thread::yield();
        stage.sink.on_text("late", 1);
        stage.sink.on_done(testing::example_outcome());
    });
    start();
    HttpClient client(port());
    client.request("POST", kChatPath, kStream);
    while (!started) std::this_thread::yield();
    server_->stop();
    server_.reset();
    server_gone = true;
    service_.join();
    EXPECT_EQ(client.read_to_end().find("late"), std::string::npos);
}

TEST_F(HttpServerTest, RefusesToListenWhereItCantOrMayNot) {
    start();
    ServerConfig taken = config_.server;
    taken.port = port();
    const auto second = HttpServer::start(taken, *router_);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, ErrorCode::kIo);
    ServerConfig open = config_.server;
    open.host = "0.0.0.0";
    const auto exposed = HttpServer::start(open, *router_);
    ASSERT_FALSE(exposed.ok());
    EXPECT_EQ(exposed.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(HttpServerTest, ServesManyAtATime) {
    config_.server.n_threads = 3;
    start();
    std::vector<std::thread> threads;
    std::atomic<int> n_good = 0;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&, i] {
            HttpClient client(port());
            for (int round = 0; round < 20; ++round) {
                client.request("POST", kChatPath, (i + round) % 2 == 0 ? kChat : kStream);
                const ClientResponse response = client.response();
                if (response.status == 200 && response.body.find("world") != std::string::npos) {
                    ++n_good;
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(n_good, 160);
    EXPECT_EQ(service_.n_submitted(), 160u);
}

}  // namespace
}  // namespace spolia
