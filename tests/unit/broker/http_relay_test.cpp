#include "broker/http/relay.h"

#include <atomic>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/unit/broker/relay_fixture.h"

namespace spolia {
namespace {

using Json = nlohmann::json;
using testing::ClientResponse;
using testing::HttpClient;
using testing::RawPeer;
using testing::RawServer;
using testing::RelayTest;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr const char* kEvents =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string chunk(const std::string& bytes) {
    char line[24];
    std::snprintf(line, sizeof line, "%zx\r\n", bytes.size());
    return line + bytes + "\r\n";
}

std::string error_code_of(const std::string& body) {
    return Json::parse(body)["error"]["code"].get<std::string>();
}

// Counts, for assertions behind the exchange.
class Recorder : public ForwardWatch {
public:
    void on_response(int status, std::string_view type, HttpHeaders& added) override {
        status_ = status;
        type_ = type;
        added.emplace_back("x-added", "yes");
    }
    void on_body(std::string_view bytes) override { body_ += bytes; }
    void on_end(End end) override {
        end_ = end;
        ++n_ends_;
    }

    int wait_for_end() const {
        while (n_ends_ == 0) std::this_thread::yield();
        return n_ends_;
    }

    int status_ = 0;
    std::string type_;
    std::string body_;
    std::atomic<End> end_ = End::kComplete;
    std::atomic<int> n_ends_ = 0;
};

TEST_F(RelayTest, SendsRequestsOnAndKeepsBothConnections) {
    start();
    HttpClient client(port());
    client.request("POST", "/v1/x?a=%20b", "hello",
                   "Content-Type: text/plain\r\nX-One: 1\r\nX-Hop: 2\r\nKeep-Alive: 5\r\n"
                   "Connection: keep-alive, X-Hop\r\nTE: trailers\r\nProxy-Connection: x\r\n"
                   "X-Forwarded-For: 10.0.0.1\r\nAuthorization: Bearer k\r\n");
    RawPeer upstream = origin_.accept();
    const std::string head = upstream.read_head();
    EXPECT_EQ(head, "POST /v1/x?a=%20b HTTP/1.1\r\nHost: " + origin_.authority() +
                        "\r\nContent-Type: text/plain\r\nX-One: 1\r\nAuthorization: Bearer k\r\n"
                        "X-Forwarded-For: 10.0.0.1, 127.0.0.1\r\nContent-Length: 5\r\n\r\n");
    EXPECT_EQ(upstream.read_bytes(5), "hello");
    upstream.send(
        "HTTP/1.1 207 Many\r\nX-Two: 2\r\nX-Hop: 1\r\nConnection: x-hop\r\nKeep-Alive: 9\r\n"
        "Content-Length: 3\r\n\r\nabc");
    const ClientResponse response = client.response();
    EXPECT_EQ(response.status, 207);
    EXPECT_EQ(response.body, "abc");
    EXPECT_EQ(response.headers.at("x-two"), "2");
    EXPECT_EQ(response.headers.at("access-control-allow-origin"), "*");
    for (const char* name : {"x-hop", "connection", "keep-alive", "transfer-encoding"}) {
        EXPECT_FALSE(response.headers.contains(name)) << name;
    }

    client.request("PATCH", "/again");
    EXPECT_EQ(upstream.read_head().substr(0, 23), "PATCH /again HTTP/1.1\r\n");
    upstream.send(kOk);
    EXPECT_EQ(client.response().body, "ok");
}

TEST_F(RelayTest, EventsComeOneByOne) {
    start();
    HttpClient client(port());
    client.request("POST", "/v1/chat/completions", "{}");
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    upstream.send(kEvents);
    EXPECT_NE(client.read_through("\r\n\r\n").find("Transfer-Encoding: chunked"),
              std::string::npos);
    // Each is sent only once the one before was seen.
    for (int i = 0; i < 20; ++i) {
        const std::string event = "data: " + std::to_string(i) + "\n\n";
        upstream.send(chunk(event));
        EXPECT_EQ(client.read_through("\n\n\r\n"), chunk(event));
    }
    // Cut anywhere, it is the same stream.
    const std::string rest = chunk("data: last\n\n") + "0\r\n\r\n";
    for (const char byte : rest) upstream.send({&byte, 1});
    std::string got;
    for (;;) {
        const std::string line = client.read_through("\r\n");
        ASSERT_FALSE(line.empty());
        if (line == "0\r\n") break;
        got += client.read_through("\r\n");
        got.resize(got.size() - 2);
    }
    EXPECT_EQ(got, "data: last\n\n");
}

TEST_F(RelayTest, AHangUpIsSeenByTheUpstream) {
    const auto watch = std::make_shared<Recorder>();
    proxy_.answer = [&](const HttpRequest&) {
        Forward to = forward();
        to.watch = watch;
        return to;
    };
    start();
    for (const bool begun : {false, true}) {
        watch->n_ends_ = 0;
        HttpClient client(port());
        client.request("POST", "/v1/chat/completions", "{}");
        RawPeer upstream = origin_.accept();
        upstream.read_head();
        if (begun) {
            upstream.send(std::string(kEvents) + chunk("data: 1\n\n"));
            EXPECT_FALSE(client.read_through("data: 1").empty());
        }
        client.close();
        EXPECT_TRUE(upstream.sees_end());
        EXPECT_EQ(watch->wait_for_end(), 1);
        EXPECT_EQ(watch->end_, ForwardWatch::End::kClientGone);
    }
    EXPECT_EQ(upstreams_[0]->n_in_flight(), 0u);
}

TEST_F(RelayTest, AClientThatSentFarAheadIsStillSeenToBreak) {
    start();
    HttpClient client(port());
    const std::string ahead = "GET /" + std::string(3000, 'x') + " HTTP/1.1\r\n\r\n";
    client.send("GET / HTTP/1.1\r\n\r\n");
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    for (int i = 0; i < 40; ++i) client.send(ahead);
    client.close();  // what it never reads makes this a reset at the latest with an answer
    upstream.send(kEvents);
    while (upstream.send(chunk("data: 1\n\n"))) {}
}

TEST_F(RelayTest, StoppingEndsWhatTheUpstreamDoesNotAnswer) {
    config_.server.stop_grace_ms = 0;
    start();
    HttpClient client(port());
    client.request("GET", "/");
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    client.send(std::string(100'000, 'x'));
    server_->stop();
    EXPECT_TRUE(upstream.sees_end());
}

TEST_F(RelayTest, ABodyThatIsReplacedUnreadIsNoRequest) {
    proxy_.answer = [&](const HttpRequest&) {
        Forward to = forward();
        to.body = "ours";
        return to;
    };
    start();
    HttpClient client(port());
    client.send("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
    RawPeer upstream = origin_.accept();
    EXPECT_NE(upstream.read_head().find("Content-Length: 4\r\n"), std::string::npos);
    EXPECT_EQ(upstream.read_bytes(4), "ours");
    upstream.send(kOk);
    const ClientResponse response = client.response();
    EXPECT_EQ(response.body, "ok");
    EXPECT_EQ(response.headers.at("connection"), "close");
    EXPECT_TRUE(client.closes());
}

TEST_F(RelayTest, ASlowClientSlowsTheUpstream) {
    start();
    HttpClient client(port(), 4096);
    client.request("GET", "/long");
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    constexpr size_t kTotal = size_t{64} << 20;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kTotal) + "\r\n\r\n");
    // Blocks for good: rounds in which nothing more goes out, although the relay had time to read.
    size_t n_sent = 0;
    for (int quiet = 0; quiet < 5 && n_sent < kTotal;) {
        const size_t n_more = upstream.send_until_blocked();
        n_sent += n_more;
        quiet = n_more == 0 ? quiet + 1 : 0;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_LT(n_sent, kTotal / 2) << "what the system's own buffers hold, and little more";
    std::thread sender([&] { upstream.send(std::string(kTotal - n_sent, 'x')); });
    const ClientResponse response = client.response();
    sender.join();
    EXPECT_EQ(response.body.size(), kTotal);
    EXPECT_EQ(response.body.find_first_not_of('x'), std::string::npos);
}

TEST_F(RelayTest, ADeadIdleConnectionIsNotUsed) {
    start();
    HttpClient client(port());
    for (const bool noise : {false, true}) {
        client.request("GET", "/");
        RawPeer upstream = origin_.accept();
        upstream.read_head();
        upstream.send(kOk);
        EXPECT_EQ(client.response().status, 200);
        if (noise) upstream.send("HTTP/1.1 408 Too late\r\n\r\n");
        if (!noise) upstream.close();
        client.request("GET", "/");
        RawPeer fresh = origin_.accept();
        EXPECT_FALSE(fresh.read_head().empty());
        fresh.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        EXPECT_EQ(client.response().status, 200);
    }
}

TEST_F(RelayTest, TheNextUpstreamIsAskedWhereNothingWasSent) {
    RawServer gone;
    const std::string dead = gone.url();
    gone.close();
    start({dead, origin_.url()});
    HttpClient client(port());
    client.request("POST", "/", "body");
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    EXPECT_EQ(upstream.read_bytes(4), "body");
    upstream.send(kOk);
    EXPECT_EQ(client.response().status, 200);
    EXPECT_FALSE(upstreams_[0]->healthy());
    EXPECT_TRUE(upstreams_[1]->healthy());
    EXPECT_EQ(by_load(upstreams_, 0).front(), upstreams_[1]);
}

TEST_F(RelayTest, NothingIsSentTwice) {
    RawServer second;
    start({origin_.url(), second.url()});
    HttpClient client(port());
    client.request("POST", "/", "body");
    {
        RawPeer upstream = origin_.accept();
        upstream.read_head();
        EXPECT_EQ(upstream.read_bytes(4), "body");
    }
    const ClientResponse response = client.response();
    EXPECT_EQ(response.status, 502);
    EXPECT_EQ(error_code_of(response.body), "upstream_failed");
    EXPECT_FALSE(second.has_caller());
}

TEST_F(RelayTest, AllUpstreamsGoneIsABadGateway) {
    start();
    origin_.close();
    HttpClient client(port());
    client.request("GET", "/");
    const ClientResponse response = client.response();
    EXPECT_EQ(response.status, 502);
    EXPECT_NE(response.body.find("can't be reached"), std::string::npos) << response.body;
    client.request("GET", "/");  // the connection goes on
    EXPECT_EQ(client.response().status, 502);
}

TEST_F(RelayTest, WhatIsNotHttpIsABadGateway) {
    start();
    for (const std::string& answer :
         {std::string("garbage\r\n\r\n"), "HTTP/1.1 200 OK\r\nA: " + std::string(20000, 'a'),
          std::string("HTTP/1.1 101 Switching\r\n\r\n")}) {
        HttpClient client(port());
        client.request("GET", "/");
        RawPeer upstream = origin_.accept();
        upstream.read_head();
        upstream.send(answer);
        EXPECT_EQ(client.response().status, 502);
        EXPECT_TRUE(upstream.sees_end());
    }
}

TEST_F(RelayTest, LateHeadersAreAGatewayTimeout) {
    config_.upstream.header_timeout_ms = 30;
    start();
    HttpClient client(port());
    client.request("GET", "/");
    RawPeer upstream = origin_.accept();
    const ClientResponse response = client.response();
    EXPECT_EQ(response.status, 504);
    EXPECT_EQ(error_code_of(response.body), "upstream_timeout");
    EXPECT_TRUE(upstream.sees_end());
}

TEST_F(RelayTest, AStreamThatBreaksSaysSo) {
    config_.upstream.idle_timeout_ms = 30;
    start();
    for (const bool hangs_up : {true, false}) {
        HttpClient client(port());
        client.request("POST", "/v1/chat/completions", "{}");
        RawPeer upstream = origin_.accept();
        upstream.read_head();
        upstream.send(std::string(kEvents) + chunk("data: 1\n\ndata: half"));
        if (hangs_up) upstream.close();
        const ClientResponse response = client.response();
        EXPECT_NE(response.body.find("data: half\n\ndata: {\"error\":"), std::string::npos)
            << response.body;
        EXPECT_NE(response.body.find("upstream_failed"), std::string::npos);
        EXPECT_TRUE(response.body.ends_with("\n\n"));
        EXPECT_TRUE(client.closes());
    }
}

TEST_F(RelayTest, AnyOtherBodyThatBreaksJustEnds) {
    start();
    HttpClient client(port());
    client.request("GET", "/");
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("half"));
    EXPECT_FALSE(client.read_through("half\r\n").empty());
    upstream.reset();
    EXPECT_EQ(client.read_to_end(), "");
}

TEST_F(RelayTest, ResponsesWithoutABody) {
    start();
    HttpClient client(port());
    client.request("HEAD", "/");
    RawPeer upstream = origin_.accept();
    EXPECT_EQ(upstream.read_head().substr(0, 5), "HEAD ");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    const ClientResponse head = client.response(true);
    EXPECT_EQ(head.headers.at("content-length"), "1234");
    for (const int status : {204, 304}) {
        client.request("GET", "/");
        upstream.read_head();
        upstream.send("HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 " + std::to_string(status) +
                      " X\r\nEtag: e\r\n\r\n");
        const ClientResponse response = client.response(true);
        EXPECT_EQ(response.status, status);
        EXPECT_EQ(response.headers.at("etag"), "e");
        EXPECT_FALSE(response.headers.contains("transfer-encoding"));
        EXPECT_FALSE(response.headers.contains("link"));
    }
    client.request("GET", "/");
    upstream.read_head();
    upstream.send(kOk);
    EXPECT_EQ(client.response().body, "ok");
}

TEST_F(RelayTest, ABodyUpToTheEndIsChunkedForTheClient) {
    start();
    for (const bool modern : {true, false}) {
        HttpClient client(port());
        client.send(std::string("GET / HTTP/1.") + (modern ? "1" : "0") + "\r\nHost: x\r\n\r\n");
        RawPeer upstream = origin_.accept();
        upstream.read_head();
        upstream.send("HTTP/1.0 200 OK\r\n\r\nall of it");
        upstream.close();
        const ClientResponse response = client.response();
        EXPECT_EQ(response.body, "all of it");
        EXPECT_EQ(response.headers.contains("transfer-encoding"), modern);
    }
}

TEST_F(RelayTest, BodiesStreamAsTheyCome) {
    start();
    HttpClient client(port());
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab");
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    EXPECT_EQ(upstream.read_bytes(2), "ab");
    client.send("cd");
    EXPECT_EQ(upstream.read_bytes(2), "cd");
    client.send("ef");
    EXPECT_EQ(upstream.read_bytes(2), "ef");
    upstream.send(kOk);
    EXPECT_EQ(client.response().body, "ok");

    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    EXPECT_NE(upstream.read_head().find("Transfer-Encoding: chunked"), std::string::npos);
    EXPECT_EQ(upstream.read_bytes(8), "3\r\nabc\r\n");
    client.send("1\r\nd\r\n2");
    EXPECT_EQ(upstream.read_bytes(6), "1\r\nd\r\n");
    client.send(";ext=1\r\nef\r\n0\r\nTrailer: x\r\n\r\n");
    std::string rest = upstream.read_through("0\r\n\r\n");
    EXPECT_EQ(rest, "2\r\nef\r\n0\r\n\r\n");
    upstream.send(kOk);
    EXPECT_EQ(client.response().body, "ok");
}

TEST_F(RelayTest, ALongBodyArrivesWhole) {
    start();
    std::string body;
    for (size_t i = 0; body.size() < (size_t{5} << 20); ++i) body += std::to_string(i) + ",";
    HttpClient client(port());
    std::thread sender([&] { client.request("POST", "/", body); });
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    EXPECT_EQ(upstream.read_bytes(body.size()), body);
    sender.join();
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(body) +
                  "0\r\n\r\n");
    EXPECT_EQ(client.response().body, body);
}

TEST_F(RelayTest, ExpectIsAnsweredHere) {
    start();
    HttpClient client(port());
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    RawPeer upstream = origin_.accept();
    EXPECT_EQ(upstream.read_head().find("Expect"), std::string::npos);
    EXPECT_EQ(client.response().status, 100);
    client.send("hi");
    EXPECT_EQ(upstream.read_bytes(2), "hi");
    upstream.send(kOk);
    EXPECT_EQ(client.response().status, 200);
}

TEST_F(RelayTest, AnAnswerBeforeTheBodyEndsIt) {
    start();
    HttpClient client(port());
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nab");
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    upstream.send("HTTP/1.1 413 Too long\r\nContent-Length: 2\r\n\r\nno");
    const ClientResponse response = client.response();
    EXPECT_EQ(response.status, 413);
    EXPECT_EQ(response.body, "no");
    EXPECT_EQ(response.headers.at("connection"), "close");
    EXPECT_TRUE(upstream.sees_end());
}

// 1xx says that the upstream will answer, not that it has read enough.
TEST_F(RelayTest, AnInterimAnswerEndsNoBody) {
    start();
    HttpClient client(port());
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab");
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    EXPECT_EQ(upstream.read_bytes(2), "ab");
    for (const char* more : {"cd", "ef"}) {
        upstream.send("HTTP/1.1 102 Processing\r\nX: y\r\n\r\n");
        client.send(more);
        EXPECT_EQ(upstream.read_bytes(2), more);
    }
    upstream.send(kOk);
    EXPECT_EQ(client.response().body, "ok");
}

TEST_F(RelayTest, AnUpstreamThatTakesNoMoreIsLate) {
    config_.upstream.idle_timeout_ms = 50;
    start();
    HttpClient client(port());
    const std::string body(size_t{32} << 20, 'x');  // more than sockets hold
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n");
    RawPeer upstream = origin_.accept();
    std::thread sender([&] { client.send(body); });
    const ClientResponse response = client.response();
    EXPECT_EQ(response.status, 502);
    EXPECT_NE(response.body.find("upstream.idle_timeout_ms"), std::string::npos) << response.body;
    sender.join();
}

// What comes of the client's body while the answer is still being thought about goes along, too.
TEST_F(RelayTest, ADeferredForwardStreamsItsBody) {
    start();
    std::promise<Deferred::Finish> asked;
    proxy_.answer = [&](const HttpRequest&) {
        Deferred deferred;
        deferred.start = [&](Deferred::Finish finish, const std::stop_token&) {
            asked.set_value(std::move(finish));
        };
        return deferred;
    };
    HttpClient client(port());
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    const Deferred::Finish finish = asked.get_future().get();
    const std::string body(100000, 'x');
    std::thread sender([&] { client.send(body); });
    finish(forward());
    RawPeer upstream = origin_.accept();
    upstream.read_head();
    EXPECT_EQ(upstream.read_bytes(body.size()), body);
    sender.join();
    upstream.send(kOk);
    EXPECT_EQ(client.response().body, "ok");
}

TEST_F(RelayTest, AClientThatDoesNotWaitStopsWhatIsDeferred) {
    start();
    std::promise<std::stop_token> asked;
    proxy_.answer = [&](const HttpRequest&) {
        Deferred deferred;
        deferred.start = [&](const Deferred::Finish&, const std::stop_token& gone) {
            asked.set_value(gone);
        };
        return deferred;
    };
    auto client = std::make_unique<HttpClient>(port());
    client->request("GET", "/");
    const std::stop_token gone = asked.get_future().get();
    EXPECT_FALSE(gone.stop_requested());
    client.reset();
    while (!gone.stop_requested()) std::this_thread::yield();
}

TEST_F(RelayTest, LimitsHoldForWhatIsStreamed) {
    config_.server.body_bytes_max = 1000;
    config_.server.header_bytes_max = 1000;
    start();
    const auto status = [&](const std::string& request) {
        HttpClient client(port());
        client.send(request);
        return client.response().status;
    };
    EXPECT_EQ(status("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x') + "\r\n\r\n"), 431);
    EXPECT_EQ(status("GET /" + std::string(2000, 'x') + " HTTP/1.1\r\n\r\n"), 431);
    EXPECT_EQ(status("POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n"), 413);
    EXPECT_EQ(status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" +
                     chunk(std::string(1001, 'x'))),
              413);
    EXPECT_EQ(status("POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
              400);
    EXPECT_FALSE(origin_.has_caller());
}

TEST_F(RelayTest, PipelinedRequestsAreAnsweredInTurn) {
    start();
    HttpClient client(port());
    client.send(
        "GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /3 HTTP/1.1"
        "\r\n\r\n");
    RawPeer upstream = origin_.accept();
    for (const char* path : {"/1", "/2", "/3"}) {
        EXPECT_NE(upstream.read_head().find(path), std::string::npos);
        if (path[1] == '2') {
            EXPECT_EQ(upstream.read_bytes(1), "x");
        }
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + std::string(path));
    }
    for (const char* path : {"/1", "/2", "/3"}) EXPECT_EQ(client.response().body, path);
}

TEST_F(RelayTest, WebSocketsAreRefused) {
    start();
    HttpClient client(port());
    client.request("GET", "/", "", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    EXPECT_EQ(client.response().status, 501);
    // Offers that a server may ignore are ignored.
    client.request("GET", "/", "",
                   "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                   "HTTP2-Settings: x\r\n");
    RawPeer upstream = origin_.accept();
    const std::string head = upstream.read_head();
    EXPECT_EQ(head.find("h2c"), head.npos);
    EXPECT_EQ(head.find("HTTP2"), head.npos);
    upstream.send(kOk);
    EXPECT_EQ(client.response().status, 200);
}

TEST_F(RelayTest, AForwardReplacesWhatItNames) {
    const auto watch = std::make_shared<Recorder>();
    proxy_.takes_body = true;
    proxy_.answer = [&](const HttpRequest& request) {
        EXPECT_EQ(request.body, "theirs");
        Deferred deferred;
        deferred.start = [&](const Deferred::Finish& finish, const std::stop_token&) {
            Forward to = forward();
            to.target = "/other";
            to.body = "ours!";
            to.request_headers = {{"x-one", "new"}, {"Authorization", "Bearer own"}};
            to.watch = watch;
            finish(std::move(to));
        };
        return deferred;
    };
    start();
    HttpClient client(port());
    client.request("POST", "/v1/x", "theirs", "X-One: old\r\nAuthorization: Bearer theirs\r\n");
    RawPeer upstream = origin_.accept();
    EXPECT_EQ(upstream.read_head(), "POST /other HTTP/1.1\r\nHost: " + origin_.authority() +
                                        "\r\nx-one: new\r\nAuthorization: Bearer own\r\n"
                                        "X-Forwarded-For: 127.0.0.1\r\nContent-Length: 5\r\n\r\n");
    EXPECT_EQ(upstream.read_bytes(5), "ours!");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Type: t/x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                  chunk("ab") + chunk("c") + "0\r\n\r\n");
    const ClientResponse response = client.response();
    EXPECT_EQ(response.body, "abc");
    EXPECT_EQ(response.headers.at("x-added"), "yes");
    EXPECT_EQ(watch->wait_for_end(), 1);
    EXPECT_EQ(watch->end_, ForwardWatch::End::kComplete);
    EXPECT_EQ(watch->status_, 200);
    EXPECT_EQ(watch->type_, "t/x");
    EXPECT_EQ(watch->body_, "abc");
}

TEST_F(RelayTest, OurKeysStayHere) {
    config_.server.keys = {{"secret", "team"}};
    start();
    HttpClient client(port());
    client.request("GET", "/");
    EXPECT_EQ(client.response().status, 401);
    HttpClient known(port());
    known.request("GET", "/", "", "Authorization: Bearer secret\r\n");
    RawPeer upstream = origin_.accept();
    EXPECT_EQ(upstream.read_head().find("Authorization"), std::string::npos);
    upstream.send(kOk);
    EXPECT_EQ(known.response().status, 200);
}

TEST_F(RelayTest, TheUpstreamsKeyIsSentToIt) {
    config_.upstream.key = "theirs";
    start();
    HttpClient client(port());
    client.request("GET", "/", "", "Authorization: Bearer mine\r\n");
    RawPeer upstream = origin_.accept();
    const std::string head = upstream.read_head();
    EXPECT_NE(head.find("Authorization: Bearer theirs\r\n"), head.npos);
    EXPECT_EQ(head.find("mine"), head.npos);
    upstream.send(kOk);
    EXPECT_EQ(client.response().status, 200);
}

TEST_F(RelayTest, WhatIsForThisServerAloneStaysHere) {
    start();
    HttpClient client(port());
    client.request("GET", "/v1/chunks");
    const ClientResponse refusal = client.response();
    EXPECT_EQ(refusal.status, 404);
    EXPECT_NE(refusal.body.find("--model"), std::string::npos);
    client.request("GET", "/metrics");
    EXPECT_EQ(client.response().body, "proxied 1\n");
    client.request("GET", "/health");
    EXPECT_EQ(client.response().status, 200);
    proxy_.is_ready = false;
    client.request("GET", "/health");
    EXPECT_EQ(client.response().status, 503);
    EXPECT_FALSE(origin_.has_caller());
}

}  // namespace
}  // namespace spolia
