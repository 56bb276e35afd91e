#include <future>
#include <latch>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "broker/http/router.h"
#include "broker/rag/collection_service.h"
#include "tests/support/fragile_embedder.h"
#include "tests/support/test_folder.h"
#include "tests/support/word_embedder.h"
#include "tests/unit/broker/fake_service.h"

namespace spolia {
namespace {

using Json = nlohmann::json;

class RetrieveHandlers : public ::testing::Test {
protected:
    RetrieveHandlers() {
        config_.server.keys = {{"key-a", "a"}, {"key-b", "b"}};
        router_.emplace(config_);
        router_->attach(service_);
        const auto file = collection_file(folder_.path, "a", "notes");
        std::filesystem::create_directories(file.parent_path());
        auto collection = CollectionDatabase::open(file, Database::Access::kCreate, "notes");
        const DocumentChunk chunks[] = {{"Otters", "The otter swims.\n"},
                                        {"Herons", "The heron flies.\n"}};
        const std::string_view texts[] = {chunks[0].text, chunks[1].text};
        const DocumentStamp stamp{.path = "/x/notes.md", .source = "notes.md", .hash = {}};
        EXPECT_TRUE((*collection)
                        ->put(stamp, chunks, embedder_.fingerprint(), *embedder_.embed(texts))
                        .ok());
        router_->attach_collections(collections_);
    }

    Reply route(const char* method, const char* path, const std::string& body,
                const char* key = "key-a") {
        HttpRequest request;
        request.method = method;
        request.path = path;
        request.body = body;
        request.authorization = std::string("Bearer ") + key;
        return router_->route(request);
    }
    ReadyReply ask(const char* method, const char* path, const std::string& body,
                   const char* key = "key-a") {
        Reply reply = route(method, path, body, key);
        if (auto* deferred = std::get_if<Deferred>(&reply)) {
            std::promise<ReadyReply> promise;
            deferred->start([&](ReadyReply given) { promise.set_value(std::move(given)); },
                            std::stop_token());
            return promise.get_future().get();
        }
        if (auto* response = std::get_if<HttpResponse>(&reply)) return std::move(*response);
        return std::get<GenerationReply>(std::move(reply));
    }
    HttpResponse respond(const char* method, const char* path, const std::string& body,
                         const char* key = "key-a") {
        return std::get<HttpResponse>(ask(method, path, body, key));
    }

    test::TestFolder folder_;
    const test::WordEmbedder embedder_;
    Config config_;
    testing::FakeService service_;
    test::FragileEmbedder* const fragile_ = new test::FragileEmbedder;
    CollectionService collections_{folder_.path, std::unique_ptr<TextEmbedder>(fragile_)};
    std::optional<Router> router_;
};

constexpr const char* kChat = R"({"messages":[{"role":"user","content":"Who flies? A heron?"}],
    "spolia":{"retrieve":{"collection":"notes","k":1}}})";
constexpr const char* kQuery = R"({"collection":"notes","query":"Who flies? The heron?","k":2})";

TEST_F(RetrieveHandlers, FindChunksAndTellWhichAreWarm) {
    service_.put_chunk("a", "", "The heron flies.\n", [](Result<std::vector<ChunkInfo>>) {});
    const HttpResponse response = respond("POST", "/v1/retrieve", kQuery);
    ASSERT_EQ(response.status, 200) << response.body;
    const Json data = Json::parse(response.body)["data"];
    ASSERT_EQ(data.size(), 2u);
    EXPECT_EQ(data[0]["heading"], "Herons");
    EXPECT_EQ(data[0]["warm"], true);
    EXPECT_EQ(data[1]["warm"], false);
    EXPECT_EQ(data[1]["source"], "notes.md");
}

TEST_F(RetrieveHandlers, KeepTenantsApart) {
    EXPECT_EQ(respond("POST", "/v1/retrieve", kQuery, "key-b").status, 404);
    EXPECT_EQ(Json::parse(respond("GET", "/v1/collections", "", "key-b").body)["data"].size(), 0u);
    const Json ours = Json::parse(respond("GET", "/v1/collections", "").body);
    EXPECT_EQ(ours["data"][0]["name"], "notes");
    EXPECT_EQ(ours["data"][0]["chunks"], 2);
}

TEST_F(RetrieveHandlers, DeleteCollections) {
    EXPECT_EQ(respond("DELETE", "/v1/collections/notes", "", "key-b").status, 404);
    EXPECT_EQ(respond("DELETE", "/v1/collections/..", "").status, 400);
    EXPECT_EQ(respond("POST", "/v1/retrieve", kQuery).status, 200);
    EXPECT_EQ(respond("DELETE", "/v1/collections/notes", "").status, 204);
    EXPECT_EQ(respond("POST", "/v1/retrieve", kQuery).status, 404);
    EXPECT_EQ(respond("DELETE", "/v1/collections/notes", "").status, 404);
}

TEST_F(RetrieveHandlers, FillChatsAndPlans) {
    const std::string body = R"({"messages":[{"role":"user","content":"Who flies? A heron?"}],
        "spolia":{"retrieve":{"collection":"notes","k":1}}})";
    const ReadyReply reply = ask("POST", "/v1/chat/completions", body);
    ASSERT_TRUE(std::holds_alternative<GenerationReply>(reply));
    const GenerationReply& generation = std::get<GenerationReply>(reply);
    EXPECT_EQ(generation.request.generate.prompt.text,
              "<user>The heron flies.\nWho flies? A heron?\n");
    ASSERT_TRUE(generation.head.retrieved);
    EXPECT_EQ(generation.head.retrieved->at(0).heading, "Herons");
    EXPECT_EQ(respond("POST", "/v1/plan", body).status, 200);
    const HttpResponse missing =
        std::get<HttpResponse>(ask("POST", "/v1/chat/completions", body, "key-b"));
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(Json::parse(missing.body)["error"]["param"], "spolia.retrieve.collection");
}

TEST_F(RetrieveHandlers, FillTemplates) {
    const std::string body = R"({"messages":[{"role":"user","content":"Who flies? A heron?"}],
        "spolia":{"fidelity":"fast","retrieve":{"collection":"notes","k":1}}})";
    const HttpResponse response = respond("POST", "/apply-template", body);
    ASSERT_EQ(response.status, 200) << response.body;
    const Json json = Json::parse(response.body);
    EXPECT_EQ(json["prompt"], "<user>The heron flies.\nWho flies? A heron?\n");
    EXPECT_EQ(json["spolia"]["retrieved"][0]["heading"], "Herons");
    const HttpResponse missing = respond("POST", "/apply-template", body, "key-b");
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(Json::parse(missing.body)["error"]["param"], "spolia.retrieve.collection");
    const std::string wrong = R"({"messages":[{"role":"user","content":"x"}],
        "spolia":{"retrieve":{"collection":"notes","k":0}}})";
    EXPECT_EQ(Json::parse(respond("POST", "/apply-template", wrong).body)["error"]["param"],
              "spolia.retrieve.k");
}

TEST_F(RetrieveHandlers, SearchOnThreadsOfTheirOwnHoweverTheFieldIsWritten) {
    std::string escaped = kChat;
    escaped.replace(escaped.find("retrieve"), 8, "\\u0072etrieve");
    const std::string talk = R"({"messages":[{"role":"user","content":"\"retrieve\""}]})";
    const std::string refused = R"({"messages":[],"spolia":{"retrieve":{"collection":"notes"}}})";
    for (const char* path : {"/v1/chat/completions", "/v1/plan", "/apply-template"}) {
        EXPECT_TRUE(std::holds_alternative<Deferred>(route("POST", path, kChat))) << path;
        EXPECT_TRUE(std::holds_alternative<Deferred>(route("POST", path, escaped))) << path;
        EXPECT_FALSE(std::holds_alternative<Deferred>(route("POST", path, talk))) << path;
        EXPECT_FALSE(std::holds_alternative<Deferred>(route("POST", path, refused))) << path;
    }
}

TEST_F(RetrieveHandlers, RefuseWhatWouldWaitTooLong) {
    std::promise<void> promise;
    const std::shared_future<void> go_on = promise.get_future().share();
    // A thread that has yet to begin would make room in a full queue.
    std::latch begun(CollectionService::kThreads);
    for (size_t i = 0; i < CollectionService::kThreads; ++i) {
        const Status queued = collections_.run([go_on, &begun] {
            begun.count_down();
            go_on.wait();
        });
        EXPECT_TRUE(queued.ok());
    }
    begun.wait();
    while (collections_.run([go_on] { go_on.wait(); }).ok()) {}
    EXPECT_EQ(respond("POST", "/v1/chat/completions", kChat).status, 429);
    promise.set_value();
}

TEST_F(RetrieveHandlers, KeepTheServersTroublesToItsLog) {
    for (const auto& [code, status] : {std::pair(ErrorCode::kIo, 503),
                                       {ErrorCode::kCorrupt, 503},
                                       {ErrorCode::kOverloaded, 429}}) {
        fragile_->failure = Error{code, "embedding server http://10.0.0.7/: gone"};
        ::testing::internal::CaptureStderr();
        for (const char* path : {"/v1/retrieve", "/v1/chat/completions"}) {
            const bool chat = std::string_view(path).ends_with("completions");
            const HttpResponse response = respond("POST", path, chat ? kChat : kQuery);
            EXPECT_EQ(response.status, status) << response.body;
            EXPECT_EQ(response.body.find("10.0.0.7"), response.body.npos) << response.body;
        }
        const std::string log = ::testing::internal::GetCapturedStderr();
        EXPECT_NE(log.find("http://10.0.0.7/: gone"), log.npos) << log;
    }
}

TEST_F(RetrieveHandlers, SayThatThereAreNoCollections) {
    Router bare(Config{});
    bare.attach(service_);
    HttpRequest request;
    request.method = "GET";
    request.path = "/v1/collections";
    const Reply reply = bare.route(request);
    EXPECT_EQ(std::get<HttpResponse>(reply).status, 501);
    request.method = "POST";
    request.path = "/apply-template";
    request.body = R"({"messages":[{"role":"user","content":"x"}],
        "spolia":{"retrieve":{"collection":"notes"}}})";
    EXPECT_EQ(std::get<HttpResponse>(bare.route(request)).status, 400);
}

}  // namespace
}  // namespace spolia
