#include "broker/rag/http_embedder.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/embedding_server.h"
#include "tests/support/word_embedder.h"

namespace spolia {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using testing::embeddings_of;
using testing::stub_response;
using testing::StubRequest;
using testing::StubServer;

const test::WordEmbedder kWords;

class HttpEmbedderTest : public ::testing::Test {
protected:
    Result<std::unique_ptr<TextEmbedder>> open(const std::string& url) {
        options_.url = url;
        options_.model = "m";
        options_.wait = [this](milliseconds time) { waits_.push_back(time.count()); };
        return open_http_embedder(options_);
    }

    // What opening fails with at a server that answers so.
    std::string failure(StubServer::Answer answer) {
        StubServer server(std::move(answer));
        const auto embedder = open(server.url());
        EXPECT_FALSE(embedder.ok());
        if (embedder.ok()) return {};
        code_ = embedder.error().code;
        const std::string& message = embedder.error().message;
        EXPECT_NE(message.find(server.url() + "/embeddings"), message.npos) << message;
        EXPECT_EQ(message.find("SECRET"), message.npos);
        return message;
    }
    std::string failure(int status, const std::string& body, const std::string& headers = {}) {
        return failure([=](const StubRequest&) { return stub_response(status, body, headers); });
    }
    std::string failure_with(std::function<void(Json&)> change) {
        return failure(embeddings_of(kWords, std::move(change)));
    }

    HttpEmbedderOptions options_;
    std::vector<int64_t> waits_;
    ErrorCode code_{};  // of the last failure()
};

bool has(const std::string& text, std::string_view words) { return text.find(words) != text.npos; }
#define EXPECT_HAS(text, words) EXPECT_PRED2(has, text, words)

TEST_F(HttpEmbedderTest, AsksAsOpenAiDoes) {
    StubServer server(embeddings_of(kWords));
    options_.api_key = "SECRET";
    const auto embedder = open(server.url());
    ASSERT_TRUE(embedder.ok()) << embedder.error().message;
    EXPECT_EQ((*embedder)->n_dims(), 64);
    const std::string_view texts[] = {"The otter \xff swims.", " ", "Taxes."};
    const auto vectors = (*embedder)->embed(texts);
    ASSERT_TRUE(vectors.ok()) << vectors.error().message;
    const StubRequest last = server.requests().back();
    EXPECT_TRUE(last.head.starts_with("POST /v1/embeddings HTTP/1.1\r\n")) << last.head;
    EXPECT_HAS(last.head, "Authorization: Bearer SECRET");
    EXPECT_HAS(last.head, "Host: 127.0.0.1:" + std::to_string(server.port()));
    EXPECT_EQ(Json::parse(last.body), (Json{{"model", "m"},
                                            {"input", {"The otter \xef\xbf\xbd swims.", "Taxes."}},
                                            {"encoding_format", "float"}}));
    EXPECT_EQ(std::vector(vectors->begin() + 64, vectors->begin() + 128), std::vector<float>(64));
    EXPECT_EQ(std::vector(vectors->begin() + 128, vectors->end()), *kWords.embed({texts + 2, 1}))
        << "in the order of the texts, and of length 1";
}

TEST_F(HttpEmbedderTest, TakesUrlsWithAndWithoutTheRoute) {
    StubServer server(embeddings_of(kWords));
    Key128 first;
    for (const char* path : {"", "/", "/v1", "/v1/", "/v1/embeddings"}) {
        const auto embedder = open(server.url(path));
        ASSERT_TRUE(embedder.ok()) << path;
        EXPECT_TRUE(server.requests().back().head.starts_with("POST /v1/embeddings ")) << path;
        if (first == Key128{}) first = (*embedder)->fingerprint();
        EXPECT_EQ((*embedder)->fingerprint(), first);
    }
    EXPECT_NE((*open(server.url("/other")))->fingerprint(), first);
}

TEST_F(HttpEmbedderTest, BoundsRequests) {
    StubServer server(embeddings_of(kWords));
    const auto embedder = open(server.url());
    ASSERT_TRUE(embedder.ok());
    const std::string small = "otter", large = std::string(20'000, 'x') + "heron";
    std::vector<std::string_view> texts(150, small);
    texts.insert(texts.end(), 40, large);
    ASSERT_TRUE((*embedder)->embed(texts).ok());
    size_t n_texts = 0;
    const auto requests = server.requests();
    for (size_t i = 1; i < requests.size(); ++i) {
        const Json input = Json::parse(requests[i].body)["input"];
        n_texts += input.size();
        EXPECT_LE(input.size(), 64u);
        EXPECT_LE(requests[i].body.size(), 140'000u);
        for (const Json& text : input) EXPECT_LE(text.get<std::string>().size(), 8192u);
    }
    EXPECT_EQ(n_texts, texts.size());
}

TEST_F(HttpEmbedderTest, WaitsForServersThatAreBusy) {
    int n_refused = 0;
    StubServer server([&, good = embeddings_of(kWords)](const StubRequest& request) {
        switch (n_refused++) {
            case 0: return std::optional(stub_response(429, "{}", "Retry-After: 7\r\n"));
            case 1: return std::optional(stub_response(503, "loading"));
            case 2:
                return std::optional(
                    stub_response(503, "", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n"));
            default: return good(request);
        }
    });
    EXPECT_TRUE(open(server.url()).ok());
    EXPECT_EQ(waits_, (std::vector<int64_t>{7000, 1000, 2000}));
}

TEST_F(HttpEmbedderTest, GivesUpOnServersThatStayBusy) {
    options_.attempts_max = 3;
    const std::string message = failure(503, R"({"error":{"message":"model is loading"}})");
    EXPECT_HAS(message, "status 503 after 3 attempts: model is loading");
    EXPECT_EQ(code_, ErrorCode::kOverloaded);
    EXPECT_EQ(waits_, (std::vector<int64_t>{500, 1000}));
    waits_.clear();
    EXPECT_HAS(failure(429, "", "Retry-After: 86400\r\n"), "retry after 86400");
    EXPECT_TRUE(waits_.empty()) << "longer than anybody waits";
}

TEST_F(HttpEmbedderTest, SaysWhyItFails) {
    options_.api_key = "SECRET";
    EXPECT_HAS(failure(401, R"({"error":{"message":"bad key"}})"), "status 401: bad key; the key");
    EXPECT_HAS(failure(404, R"({"detail":"no such model"})"), "status 404: no such model");
    EXPECT_HAS(failure(500, "<html>\r\nOops\x01</html>"), "status 500: <html>  Oops </html>");
    EXPECT_HAS(failure(400, ""), "status 400: no reason given");
    EXPECT_LT(failure(400, std::string(100'000, 'x')).size(), 500u);
    options_.api_key.clear();
    EXPECT_HAS(failure(403, R"({"error":"no"})"),
               "status 403: no; it was given no key: name the environment variable");
    EXPECT_EQ(code_, ErrorCode::kIo);
    EXPECT_TRUE(waits_.empty()) << "only busy servers are asked again";
}

TEST_F(HttpEmbedderTest, RefusesWhatIsNoAnswer) {
    const auto answers = [](Json json) { return json.dump(); };
    EXPECT_HAS(failure(200, "[1"), "no JSON");
    EXPECT_HAS(failure(200, "{}"), "no array `data`");
    EXPECT_HAS(failure(200, answers({{"data", Json::array()}})), "0 vectors for 1 texts");
    for (const char* entry :
         {"1", "{}", R"({"index":0})", R"({"embedding":[1]})", R"({"index":-1,"embedding":[1]})",
          R"({"index":0,"embedding":"x"})"}) {
        EXPECT_HAS(failure(200, std::string(R"({"data":[)") + entry + "]}"), "lacks");
    }
    const auto one = [&](const std::string& numbers) {
        return failure(200, R"({"data":[{"index":0,"embedding":[)" + numbers + "]}]}");
    };
    EXPECT_HAS(one("1,NaN"), "no JSON");
    EXPECT_HAS(one("1,1e999"), "no JSON");
    EXPECT_HAS(one("1,1e39"), "number 1 of a vector is no finite number");
    EXPECT_HAS(one("1,null"), "number 1 of a vector is no finite number");
    EXPECT_HAS(one(""), "0 dimensions");
    EXPECT_EQ(code_, ErrorCode::kCorrupt);
    EXPECT_HAS(failure_with([](Json& json) { json["data"].push_back(json["data"][0]); }),
               "2 vectors for 1 texts");
    EXPECT_HAS(failure_with([](Json& json) { json["data"][0]["index"] = 1; }),
               "none of the texts'");
}

TEST_F(HttpEmbedderTest, ChecksEveryAnswer) {
    std::function<void(Json&)> spoil;
    StubServer server(embeddings_of(kWords, [&](Json& json) {
        if (spoil) spoil(json);
    }));
    const auto embedder = open(server.url());
    ASSERT_TRUE(embedder.ok());
    const std::string_view texts[] = {"The otter swims.", "The heron flies."};
    const auto message = [&] {
        const auto vectors = (*embedder)->embed(texts);
        EXPECT_FALSE(vectors.ok());
        return vectors.ok() ? std::string() : vectors.error().message;
    };
    spoil = [](Json& json) { json["data"].erase(0); };
    EXPECT_HAS(message(), "1 vectors for 2 texts");
    spoil = [](Json& json) { json["data"][1]["index"] = json["data"][0]["index"]; };
    EXPECT_HAS(message(), "is there twice");
    spoil = [](Json& json) { json["data"][1]["embedding"].push_back(1); };
    EXPECT_HAS(message(), "65 dimensions, expected 64");
    spoil = nullptr;
    EXPECT_TRUE((*embedder)->embed(texts).ok());
}

TEST_F(HttpEmbedderTest, GivesUpOnSlowServers) {
    options_.timeout = milliseconds(50);
    const std::string message = failure([](const StubRequest&) { return std::nullopt; });
    EXPECT_HAS(message, "no answer from 127.0.0.1");
    // One that begins an answer and does not go on.
    EXPECT_HAS(failure([](const StubRequest&) {
                   return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
               }),
               "no answer from 127.0.0.1");
}

TEST_F(HttpEmbedderTest, NeedsAServer) {
    std::string url;
    {
        StubServer server([](const StubRequest&) { return std::nullopt; });
        url = server.url();
    }
    const auto embedder = open(url);
    ASSERT_FALSE(embedder.ok());
    EXPECT_EQ(embedder.error().code, ErrorCode::kIo);
    EXPECT_HAS(embedder.error().message, url);
    EXPECT_HAS(embedder.error().message, "refused");
}

}  // namespace
}  // namespace spolia
