#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/http/proxy.h"
#include "broker/http/router.h"
#include "broker/http/server.h"
#include "index/thread_annotations.h"
#include "tests/support/raw_server.h"
#include "tests/unit/broker/http_client.h"

namespace spolia::testing {

// Forwards as a test tells it to.
class ScriptedProxy : public Proxy {
public:
    Reply route(const HttpRequest& request, std::string_view) override { return answer(request); }
    bool wants_body(const HttpRequest&) const override { return takes_body; }
    bool ready() const override { return is_ready; }
    std::string metrics_text() const override { return "proxied 1\n"; }

    std::function<Reply(const HttpRequest&)> answer;
    bool takes_body = false;
    bool is_ready = true;
};

// A server that forwards to upstreams which the test plays itself.
class RelayTest : public ::testing::Test {
protected:
    RelayTest() {
        config_.server.port = 0;
        config_.server.n_threads = 2;
        config_.server.stop_grace_ms = 5000;
        proxy_.answer = [this](const HttpRequest&) { return forward(); };
    }
    ~RelayTest() override {
        if (server_) server_->stop();
    }

    std::shared_ptr<Upstream> open(const std::string& url) {
        auto upstream = Upstream::open(url, config_.upstream);
        EXPECT_TRUE(upstream.ok()) << upstream.error().message;
        return *std::move(upstream);
    }
    void start(const std::vector<std::string>& urls) {
        for (const std::string& url : urls) upstreams_.push_back(open(url));
        router_ = std::make_unique<Router>(config_);
        router_->attach_proxy(proxy_);
        auto server = HttpServer::start(config_.server, *router_);
        ASSERT_TRUE(server.ok()) << server.error().message;
        server_ = *std::move(server);
    }
    void start() { start({origin_.url()}); }

    Forward forward() const {
        Forward forward;
        forward.candidates = upstreams_;
        return forward;
    }
    uint16_t port() const { return server_->port(); }

    Config config_;
    RawServer origin_;
    ScriptedProxy proxy_;
    std::vector<std::shared_ptr<Upstream>> upstreams_;
    std::unique_ptr<Router> router_;
    std::unique_ptr<HttpServer> server_;
};

}  // namespace spolia::testing
