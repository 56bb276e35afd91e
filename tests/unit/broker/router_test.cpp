#include "broker/http/router.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/broker/fake_service.h"

namespace spolia {
namespace {

using Json = nlohmann::json;

constexpr const char* kChatBody = R"({"messages":[{"role":"user","content":"hi"}]})";

HttpRequest request(std::string method, std::string_view target, std::string body = {},
                    std::string authorization = {}) {
    HttpRequest result;
    result.method = std::move(method);
    set_target(result, target);
    result.body = std::move(body);
    result.authorization = std::move(authorization);
    return result;
}

std::string header(const HttpResponse& response, std::string_view name) {
    for (const auto& [key, value] : response.headers) {
        if (key == name) return value;
    }
    return {};
}

class RouterTest : public ::testing::Test {
protected:
    RouterTest() : router_(config_) { router_.attach(service_); }

    HttpResponse get_response(const Router& router, const HttpRequest& wanted) {
        Reply reply = router.route(wanted);
        if (const auto* deferred = std::get_if<Deferred>(&reply)) {
            HttpResponse response;
            deferred->start(
                [&](ReadyReply given) { response = std::get<HttpResponse>(std::move(given)); }, {});
            return response;
        }
        EXPECT_TRUE(std::holds_alternative<HttpResponse>(reply)) << wanted.path;
        return std::get<HttpResponse>(std::move(reply));
    }
    HttpResponse get_response(const HttpRequest& wanted) { return get_response(router_, wanted); }
    Json get_json(const HttpRequest& wanted) { return Json::parse(get_response(wanted).body); }

    Config config_;
    testing::FakeService service_;
    Router router_;
};

TEST_F(RouterTest, StartsGenerations) {
    const Reply chat = router_.route(request("POST", "/v1/chat/completions", kChatBody));
    ASSERT_TRUE(std::holds_alternative<GenerationReply>(chat));
    const GenerationReply& generation = std::get<GenerationReply>(chat);
    EXPECT_EQ(generation.service, &service_);
    EXPECT_EQ(generation.head.model, "fake-model");
    EXPECT_EQ(generation.head.id, generation.request.generate.id);
    EXPECT_EQ(generation.request.generate.prompt.text, "<user>hi\n");
    const Reply completion = router_.route(request("POST", "/v1/completions", R"({"prompt":"a"})"));
    EXPECT_TRUE(std::holds_alternative<GenerationReply>(completion));
    EXPECT_EQ(service_.n_submitted(), 0u) << "handlers only describe what to do";
}

TEST_F(RouterTest, AnswersBadBodies) {
    const HttpResponse response = get_response(request("POST", "/v1/chat/completions", "{"));
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(Json::parse(response.body)["error"]["code"], "invalid_json");
}

TEST_F(RouterTest, ListsTheModel) {
    const Json models = get_json(request("GET", "/v1/models"));
    EXPECT_EQ(models["object"], "list");
    ASSERT_EQ(models["data"].size(), 1u);
    EXPECT_EQ(models["data"][0]["id"], "fake-model");
    EXPECT_EQ(models["data"][0]["object"], "model");

    config_.model.alias = "nice-name";
    Router aliased(config_);
    aliased.attach(service_);
    const HttpResponse response = get_response(aliased, request("GET", "/v1/models"));
    EXPECT_EQ(Json::parse(response.body)["data"][0]["id"], "nice-name");
}

TEST_F(RouterTest, AnswersForTheTextModel) {
    EXPECT_EQ(get_json(request("POST", "/tokenize", R"({"content":"a"})")),
              (Json{{"tokens", {97}}}));
    EXPECT_EQ(get_json(request("POST", "/detokenize", R"({"tokens":[97]})")),
              (Json{{"content", "a"}}));
    EXPECT_EQ(get_json(request("POST", "/apply-template", kChatBody)),
              (Json{{"prompt", "<user>hi\n"}}));
}

TEST_F(RouterTest, ShowsMetricsStatsAndPlans) {
    const HttpResponse metrics = get_response(request("GET", "/metrics"));
    EXPECT_EQ(metrics.body, "spolia_requests_total 1\n");
    EXPECT_EQ(metrics.content_type.rfind("text/plain", 0), 0u);
    EXPECT_TRUE(get_json(request("GET", "/v1/cache/stats")).contains("ram"));
    const Json plan = get_json(request("POST", "/v1/plan", R"({"prompt":"abc"})"));
    EXPECT_EQ(plan["parts"][0]["end"], 4);
    EXPECT_EQ(service_.n_submitted(), 0u);
}

TEST_F(RouterTest, HasNoEmbeddings) {
    const HttpResponse response =
        get_response(request("POST", "/v1/embeddings", R"({"input":"x"})"));
    EXPECT_EQ(response.status, 501);
    EXPECT_EQ(Json::parse(response.body)["error"]["message"],
              "this model does not make embeddings");
}

TEST_F(RouterTest, KeepsChunks) {
    const Json put =
        get_json(request("PUT", "/v1/chunks", R"({"texts":["one","two"],"name":"doc"})"));
    ASSERT_EQ(put["data"].size(), 2u);
    EXPECT_EQ(put["data"][0]["key"], hash_text("one").hex());
    EXPECT_EQ(put["data"][1]["key"], hash_text("two").hex());
    EXPECT_EQ(put["data"][0]["name"], "doc");

    const std::string path = "/v1/chunks/" + hash_text("one").hex();
    EXPECT_EQ(get_json(request("GET", "/v1/chunks"))["data"].size(), 2u);
    EXPECT_EQ(get_json(request("GET", path))["tokens"], 3);
    EXPECT_EQ(get_json(request("DELETE", path))["deleted"], true);
    EXPECT_EQ(get_response(request("GET", path)).status, 404);
    EXPECT_EQ(get_response(request("DELETE", path)).status, 404);
    EXPECT_EQ(get_response(request("GET", "/v1/chunks/xyz")).status, 400);
}

TEST_F(RouterTest, OneFailedChunkFailsThePut) {
    const HttpResponse response =
        get_response(request("PUT", "/v1/chunks", R"({"texts":["one","refused"]})"));
    EXPECT_EQ(response.status, 429);
    EXPECT_EQ(header(response, "Retry-After"), "1");
}

TEST_F(RouterTest, SaltsSeparateChunks) {
    ASSERT_EQ(
        get_response(request("PUT", "/v1/chunks", R"({"text":"one","cache_salt":"a b"})")).status,
        200);
    const std::string path = "/v1/chunks/" + hash_text("one").hex();
    EXPECT_EQ(get_response(request("GET", path)).status, 404);
    EXPECT_EQ(get_response(request("GET", path + "?cache_salt=a%20b")).status, 200);
    EXPECT_EQ(get_response(request("GET", path + "?x&cache_salt=a+b")).status, 200);
}

TEST_F(RouterTest, UnknownPathsAndMethods) {
    EXPECT_EQ(get_response(request("GET", "/nothing")).status, 404);
    EXPECT_EQ(get_response(request("GET", "/v1/chunks/")).status, 404);
    const HttpResponse response = get_response(request("GET", "/v1/chat/completions"));
    EXPECT_EQ(response.status, 405);
    EXPECT_EQ(header(response, "Allow"), "POST, OPTIONS");
    EXPECT_EQ(Json::parse(response.body)["error"]["code"], "method_not_allowed");
    EXPECT_EQ(header(get_response(request("POST", "/v1/chunks")), "Allow"), "PUT, GET, OPTIONS");
    EXPECT_EQ(get_response(request("POST", "/health")).status, 405);
    EXPECT_EQ(get_response(request("HEAD", "/v1/models")).status, 200);
}

TEST_F(RouterTest, AnswersBrowsersBeforeTheyHaveAKey) {
    config_.server.keys = {{"secret", "t"}};
    Router router(config_);
    const HttpResponse response = get_response(router, request("OPTIONS", "/v1/chat/completions"));
    EXPECT_EQ(response.status, 204);
    EXPECT_NE(header(response, "Access-Control-Allow-Methods").find("POST"), std::string::npos);
    EXPECT_NE(header(response, "Access-Control-Allow-Headers").find("Authorization"),
              std::string::npos);
    EXPECT_EQ(router.common_headers().front().second, "*");

    config_.server.cors_origin = "";
    EXPECT_TRUE(Router(config_).common_headers().empty());
}

TEST_F(RouterTest, LoadsBeforeItServes) {
    Router router(config_);
    for (const char* path : {"/health", "/v1/health", "/v1/models"}) {
        const HttpResponse response = get_response(router, request("GET", path));
        EXPECT_EQ(response.status, 503) << path;
        EXPECT_EQ(Json::parse(response.body)["error"]["code"], "model_loading");
    }
    service_.set_ready(false);
    router.attach(service_);
    EXPECT_EQ(get_response(router, request("GET", "/health")).status, 503);
    service_.set_ready(true);
    EXPECT_EQ(get_response(router, request("GET", "/health")).body, R"({"status":"ok"})");
    router.detach();
    EXPECT_EQ(get_response(router, request("GET", "/v1/models")).status, 503);
}

TEST_F(RouterTest, KeysOpenTheirTenant) {
    config_.server.keys = {{"secret-a", "team-a"}, {"secret-b", "team-b"}};
    Router router(config_);
    router.attach(service_);
    const auto status = [&](std::string authorization) {
        return get_response(router, request("GET", "/v1/models", "", std::move(authorization)))
            .status;
    };
    EXPECT_EQ(status("Bearer secret-a"), 200);
    EXPECT_EQ(status("bearer   secret-b "), 200);
    for (const char* wrong :
         {"", "Bearer", "Bearer ", "Bearer secret-", "Bearer secret-aa", "Bearer secret-c",
          "secret-a", "Basic secret-a", "Bearer secret-a x"}) {
        EXPECT_EQ(status(wrong), 401) << wrong;
    }
    EXPECT_EQ(get_response(router, request("GET", "/nothing")).status, 401);
    EXPECT_EQ(get_response(router, request("GET", "/health")).status, 200);

    const Reply reply =
        router.route(request("POST", "/v1/completions", R"({"prompt":"x"})", "Bearer secret-b"));
    ASSERT_TRUE(std::holds_alternative<GenerationReply>(reply));
    EXPECT_EQ(std::get<GenerationReply>(reply).request.generate.tenant, "team-b");

    get_response(router, request("PUT", "/v1/chunks", R"({"text":"one"})", "Bearer secret-a"));
    const auto chunks_of = [&](const char* key) {
        return Json::parse(get_response(router, request("GET", "/v1/chunks", "", key)).body)["data"]
            .size();
    };
    EXPECT_EQ(chunks_of("Bearer secret-a"), 1u);
    EXPECT_EQ(chunks_of("Bearer secret-b"), 0u);

    const auto receipt = [&](const char* path, const char* key) {
        return get_response(router, request("GET", path, "", key));
    };
    const HttpResponse own = receipt("/v1/receipts/chatcmpl-1", "Bearer secret-a");
    EXPECT_EQ(own.status, 200);
    EXPECT_EQ(Json::parse(own.body)["spolia"]["policy"], "cacheblend");
    EXPECT_EQ(receipt("/v1/receipts/chatcmpl-1", "Bearer secret-b").status, 404);
    EXPECT_EQ(receipt("/v1/receipts/chatcmpl-2", "Bearer secret-a").status, 404);
}

TEST_F(RouterTest, RefusesByHeaderWhatTheBodyCantSave) {
    config_.server.keys = {{"secret", "t"}};
    Router router(config_);
    router.attach(service_);
    EXPECT_EQ(router.refuse(request("POST", "/v1/completions"))->status, 401);
    EXPECT_EQ(router.refuse(request("POST", "/x", "", "Bearer secret"))->status, 404);
    EXPECT_FALSE(router.refuse(request("POST", "/v1/completions", "", "Bearer secret")));
    EXPECT_FALSE(router.refuse(request("GET", "/health")));
}

}  // namespace
}  // namespace spolia
