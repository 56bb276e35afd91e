#include "broker/proxy/affinity_proxy.h"

#include <gtest/gtest.h>

#include <set>

#include <nlohmann/json.hpp>

#include "tests/support/vllm_stub.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;
using testing::VllmStub;

UpstreamConfig config_of(std::vector<std::string> urls) {
    UpstreamConfig config;
    config.urls = std::move(urls);
    config.kind = UpstreamKind::kOpenai;
    config.health_interval_ms = 0;
    return config;
}

std::unique_ptr<AffinityProxy> open(const UpstreamConfig& config) {
    std::vector<std::shared_ptr<Upstream>> upstreams;
    for (const std::string& url : config.urls) upstreams.push_back(*Upstream::open(url, config));
    return std::make_unique<AffinityProxy>(config, std::move(upstreams));
}

const std::vector<std::string> kThree = {"http://a:8000/v1", "http://b:8000", "http://c:8000"};

HttpRequest request(std::string method, std::string path, std::string body = {}) {
    HttpRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.body = std::move(body);
    return request;
}

HttpRequest chat(const std::string& system, const std::string& user) {
    return request(
        "POST", "/v1/chat/completions",
        Json{{"model", "m"},
             {"messages",
              {{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", user}}}}}
            .dump());
}

Forward forward_of(AffinityProxy& proxy, const HttpRequest& request, std::string_view tenant = "") {
    Reply reply = proxy.route(request, tenant);
    EXPECT_TRUE(std::holds_alternative<Forward>(reply));
    return std::get<Forward>(std::move(reply));
}

HttpResponse response_of(AffinityProxy& proxy, const HttpRequest& request,
                         std::string_view tenant = "") {
    Reply reply = proxy.route(request, tenant);
    EXPECT_TRUE(std::holds_alternative<HttpResponse>(reply));
    return std::get<HttpResponse>(std::move(reply));
}

// As the connection does with a request that the first candidate answers.
void answer(const Forward& forward, const std::string& body,
            std::string_view type = "application/json") {
    forward.watch->on_upstream(*forward.candidates[0]);
    HttpHeaders added;
    forward.watch->on_response(200, type, added);
    forward.watch->on_body(body);
    forward.watch->on_end(ForwardWatch::End::kComplete);
}

TEST(AffinityProxyTest, PromptsThatBeginAlikeMeet) {
    const auto proxy = open(config_of(kThree));
    std::set<std::string> servers;
    for (int id = 0; id < 30; ++id) {
        const std::string system(2000, static_cast<char>('a' + id % 26));
        const Forward first = forward_of(*proxy, chat(std::to_string(id) + system, "Who?"));
        ASSERT_EQ(first.candidates.size(), 3u);
        EXPECT_FALSE(first.body.has_value());
        answer(first, "{}");
        const Forward next = forward_of(*proxy, chat(std::to_string(id) + system, "Why?"));
        EXPECT_EQ(first.candidates[0], next.candidates[0]);
        servers.insert(first.candidates[0]->name());
    }
    EXPECT_EQ(servers.size(), 3u);
}

TEST(AffinityProxyTest, TheServerThatAnsweredHasThePrompt) {
    const auto proxy = open(config_of(kThree));
    const HttpRequest prompt = chat(std::string(3000, 's'), "Who?");
    Forward first = forward_of(*proxy, prompt);
    first.watch->on_upstream(*first.candidates[2]);
    first.watch->on_end(ForwardWatch::End::kComplete);
    EXPECT_EQ(forward_of(*proxy, prompt).candidates[0], first.candidates[2]);
}

TEST(AffinityProxyTest, DrainingServersGetNothing) {
    const auto proxy = open(config_of(kThree));
    const HttpRequest prompt = chat("Rules.", "Who?");
    const std::string name = forward_of(*proxy, prompt).candidates[0]->name();
    const HttpResponse drained =
        response_of(*proxy, request("POST", "/v1/upstreams/" + name + "/drain"));
    EXPECT_EQ(drained.status, 200);
    EXPECT_EQ(Json::parse(drained.body)["draining"], true);
    for (const auto& upstream : forward_of(*proxy, prompt).candidates) {
        EXPECT_NE(upstream->name(), name);
    }
    EXPECT_EQ(forward_of(*proxy, request("GET", "/v1/models")).candidates.size(), 2u);
    response_of(*proxy, request("POST", "/v1/upstreams/" + name + "/undrain"));
    EXPECT_EQ(forward_of(*proxy, prompt).candidates[0]->name(), name);
    for (const std::string host : {"a", "b", "c"}) {
        response_of(*proxy, request("POST", "/v1/upstreams/" + host + ":8000/drain"));
    }
    EXPECT_EQ(response_of(*proxy, prompt).status, 503);
}

TEST(AffinityProxyTest, OnlyKeysOfNoTenantDrain) {
    const auto proxy = open(config_of(kThree));
    const HttpRequest drain = request("POST", "/v1/upstreams/a:8000/drain");
    EXPECT_EQ(response_of(*proxy, drain, "team").status, 403);
    EXPECT_EQ(response_of(*proxy, request("POST", "/v1/upstreams/x:1/drain")).status, 404);
    EXPECT_EQ(response_of(*proxy, request("POST", "/v1/upstreams/a:8000/stop")).status, 404);
}

TEST(AffinityProxyTest, CountsWhatServersTellOfPrompts) {
    const auto proxy = open(config_of({"http://a:8000"}));
    const Forward forward = forward_of(*proxy, chat("Rules.", "Who?"));
    answer(forward,
           "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":1,"
           "\"prompt_tokens_details\":{\"cached_tokens\":16}}}\n\ndata: [DONE]\n\n",
           "text/event-stream; charset=utf-8");
    const std::string metrics = proxy->metrics_text();
    const std::string name = "spolia_upstream_prompt_tokens_total{upstream=\"a:8000\",source=";
    EXPECT_NE(metrics.find(name + "\"cached\"} 16\n"), metrics.npos) << metrics;
    EXPECT_NE(metrics.find(name + "\"computed\"} 4\n"), metrics.npos) << metrics;
    const Json list = Json::parse(response_of(*proxy, request("GET", "/v1/upstreams")).body);
    EXPECT_EQ(list["data"][0]["cached_tokens"], 16);
    EXPECT_EQ(list["data"][0]["share"], 1.0);
}

TEST(AffinityProxyTest, TenantsGetTheirOwnSalts) {
    UpstreamConfig config = config_of(kThree);
    config.cache_salt = true;
    config.salt_secret = "secret";
    const auto proxy = open(config);
    const HttpRequest prompt = chat("Rules.", "Who?");
    const auto salt = [&](std::string_view tenant) {
        return Json::parse(forward_of(*proxy, prompt, tenant).body.value())["cache_salt"];
    };
    EXPECT_EQ(salt("a"), salt("a"));
    EXPECT_NE(salt("a"), salt("b"));

    // A client that knows another tenant's salt, or gives several, gains nothing by it.
    const auto salted = [&](const std::string& members, std::string_view tenant) {
        HttpRequest given = prompt;
        given.body.insert(1, members);
        return forward_of(*proxy, given, tenant).body.value_or(given.body);
    };
    const std::string of_a = Json::parse(salted(R"("cache_salt":"x",)", "a"))["cache_salt"];
    EXPECT_NE(of_a, salt("a"));
    EXPECT_NE(of_a, Json::parse(salted(R"("cache_salt":"x",)", "b"))["cache_salt"]);
    const std::string twice = salted(R"("cache_salt":"y","cache_salt":"x",)", "a");
    EXPECT_EQ(twice.find("\"y\""), twice.npos);
    EXPECT_EQ(Json::parse(twice)["cache_salt"], of_a);
    EXPECT_EQ(Json::parse(salted(R"("cache_salt":null,)", "a"))["cache_salt"], salt("a"));
    EXPECT_EQ(Json::parse(salted(R"("cache_salt":7,)", "a"))["cache_salt"], 7);
}

TEST(AffinityProxyTest, WhatIsNoJsonIsForwardedAsItIs) {
    const auto proxy = open(config_of(kThree));
    const Forward forward = forward_of(*proxy, request("POST", "/v1/chat/completions", "{nope"));
    EXPECT_EQ(forward.candidates.size(), 3u);
    EXPECT_FALSE(forward.body.has_value());
}

TEST(AffinityProxyTest, OnlyPromptsAreHeldAsAWhole) {
    const auto proxy = open(config_of(kThree));
    EXPECT_TRUE(proxy->wants_body(request("POST", "/v1/chat/completions")));
    EXPECT_FALSE(proxy->wants_body(request("POST", "/v1/embeddings")));
    EXPECT_FALSE(proxy->wants_body(request("GET", "/v1/models")));
    UpstreamConfig config = config_of(kThree);
    config.affinity = false;
    config.strip_spolia = false;
    EXPECT_FALSE(open(config)->wants_body(request("POST", "/v1/chat/completions")));
}

TEST(AffinityProxyTest, WarmedUpTextsAreWithTheServerThatGetsTheirPrompts) {
    VllmStub one, other;
    UpstreamConfig config = config_of({one.url(), other.url()});
    config.warm_up = true;
    const auto proxy = open(config);
    const HttpRequest put =
        request("PUT", "/v1/chunks", Json{{"model", "m"}, {"text", std::string(3000, 'd')}}.dump());
    EXPECT_TRUE(proxy->answers(put));
    const HttpResponse response = response_of(*proxy, put);
    ASSERT_EQ(response.status, 202) << response.body;
    const std::string name = Json::parse(response.body)["data"][0]["upstream"];
    const Forward forward = forward_of(*proxy, chat(std::string(3000, 'd'), "Who?"));
    EXPECT_EQ(forward.candidates[0]->name(), name);
    VllmStub& warmed = name == one.name() ? one : other;
    warmed.wait_for_requests(1);
    const Json body = Json::parse(warmed.bodies()[0]);
    EXPECT_EQ(body["max_tokens"], 1);
    EXPECT_EQ(body["messages"][0]["content"], std::string(3000, 'd'));
}

TEST(AffinityProxyTest, WarmUpSaysWhatItNeeds) {
    UpstreamConfig config = config_of(kThree);
    config.warm_up = true;
    const auto proxy = open(config);
    EXPECT_EQ(response_of(*proxy, request("PUT", "/v1/chunks", R"({"text":"x"})")).status, 400);
    EXPECT_EQ(response_of(*proxy, request("PUT", "/v1/chunks", R"({"model":"m"})")).status, 400);
    EXPECT_FALSE(open(config_of(kThree))->answers(request("PUT", "/v1/chunks")));
}

TEST(AffinityProxyTest, HealthChecksPassOverWhatFails) {
    VllmStub good, bad;
    bad.set_healthy(false);
    UpstreamConfig config = config_of({good.url(), bad.url()});
    config.health_interval_ms = 5;
    const auto proxy = open(config);
    good.wait_for_health_checks(3);
    bad.wait_for_health_checks(3);
    EXPECT_TRUE(proxy->ready());
    for (int id = 0; id < 20; ++id) {
        const Forward forward = forward_of(*proxy, chat(std::to_string(id), "Who?"));
        EXPECT_EQ(forward.candidates[0]->name(), good.name());
        EXPECT_EQ(forward.candidates.size(), 2u);
    }
    bad.set_healthy(true);
    bad.wait_for_health_checks(3);
    std::set<std::string> servers;
    for (int id = 0; id < 50; ++id) {
        servers.insert(forward_of(*proxy, chat(std::to_string(id), "Who?")).candidates[0]->name());
    }
    EXPECT_EQ(servers.size(), 2u);
}

}  // namespace
}  // namespace spolia
