#include "broker/wire/retrieval.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "broker/wire/requests.h"
#include "broker/wire/response.h"
#include "tests/unit/broker/fake_text_model.h"

namespace spolia {
namespace {

using Json = nlohmann::json;

RetrievedChunk found(const std::string& path, int64_t ordinal, const std::string& text) {
    return {{hash_text(text), path.substr(1), "Heading", text, path, ordinal}, 0.5};
}

class WireRetrieval : public ::testing::Test {
protected:
    Parsed<ParsedRequest> chat(const std::string& messages, const std::string& retrieve) {
        return parse_chat_request(
            R"({"messages":)" + messages + R"(,"spolia":{"retrieve":)" + retrieve + "}}",
            RequestContext{model_, names_, "team", {}, [this](const Retrieval& wanted) {
                               wanted_ = wanted;
                               return answer_;
                           }});
    }

    const std::string kAsk = R"([{"role":"system","content":"Be brief."},
        {"role":"user","content":"Who swims?"}])";
    testing::FakeTextModel model_;
    std::vector<std::string> names_ = {"model"};
    Retrieval wanted_;
    Result<std::vector<RetrievedChunk>> answer_ = std::vector<RetrievedChunk>{
        found("/b", 1, "Otters.\n"), found("/a", 7, "Herons.\n"), found("/a", 2, "Fish.\n")};
};

TEST_F(WireRetrieval, PutsChunksInFrontOfTheQuestion) {
    const auto request = chat(kAsk, R"({"collection":"notes","k":3})");
    ASSERT_TRUE(request.ok()) << request.error().message;
    EXPECT_EQ(wanted_.collection, "notes");
    EXPECT_EQ(wanted_.query, "Who swims?");
    EXPECT_EQ(wanted_.k, 3);
    EXPECT_EQ(request->generate.prompt.text,
              "<system>Be brief.\n<user>Otters.\nHerons.\nFish.\nWho swims?\n");
    const Json content = Json::parse(model_.last_chat().messages_json)[1]["content"];
    ASSERT_EQ(content.size(), 4u);
    EXPECT_EQ(content[0], (Json{{"type", "text"}, {"text", "Otters.\n"}}));
    ASSERT_EQ(request->retrieved->size(), 3u);
    EXPECT_EQ((*request->retrieved)[0].source, "b");
    EXPECT_EQ((*request->retrieved)[0].key, hash_text("Otters.\n"));
}

TEST_F(WireRetrieval, OrdersForReuseWhereItMay) {
    const auto request = chat(kAsk, R"({"collection":"notes","order":"reuse","query":"fish"})");
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(wanted_.query, "fish");
    EXPECT_EQ(request->generate.prompt.text,
              "<system>Be brief.\n<user>Fish.\nHerons.\nOtters.\nWho swims?\n");
}

TEST_F(WireRetrieval, KeepsThePartsOfTheLastUserMessage) {
    const auto request = chat(R"([{"role":"user","content":"early"},
        {"role":"user","content":[{"type":"text","text":"One."},{"type":"text","text":"Two?"}]},
        {"role":"assistant","content":"And"}])",
                              R"({"collection":"notes","order":"rank"})");
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(wanted_.query, "One.\nTwo?\n");
    EXPECT_EQ(request->generate.prompt.text,
              "<user>early\n<user>Otters.\nHerons.\nFish.\nOne.Two?\n<assistant>And\n");
}

TEST_F(WireRetrieval, RefusesWhatItCantDo) {
    const std::pair<const char*, const char*> cases[] = {
        {"1", "spolia.retrieve"},
        {"{}", "spolia.retrieve.collection"},
        {R"({"collection":"../x"})", "spolia.retrieve.collection"},
        {R"({"collection":1})", "spolia.retrieve.collection"},
        {R"({"collection":"n","k":0})", "spolia.retrieve.k"},
        {R"({"collection":"n","k":65})", "spolia.retrieve.k"},
        {R"({"collection":"n","order":"best"})", "spolia.retrieve.order"},
        {R"({"collection":"n","query":" "})", "spolia.retrieve.query"},
        {R"({"collection":"n","top_k":3})", "spolia.retrieve.top_k"},
    };
    for (const auto& [retrieve, param] : cases) {
        const auto request = chat(kAsk, retrieve);
        ASSERT_FALSE(request.ok()) << retrieve;
        EXPECT_EQ(request.error().status, 400);
        EXPECT_EQ(request.error().param, param) << retrieve;
    }
    EXPECT_EQ(chat(R"([{"role":"system","content":"x"}])", R"({"collection":"n"})").error().param,
              "messages");
    answer_ = Error{ErrorCode::kNotFound, "there is no collection 'n'"};
    const auto missing = chat(kAsk, R"({"collection":"n"})");
    EXPECT_EQ(missing.error().status, 404);
    EXPECT_EQ(missing.error().param, "spolia.retrieve.collection");
    const auto completion =
        parse_completion_request(R"({"prompt":"a","spolia":{"retrieve":{"collection":"n"}}})",
                                 RequestContext{model_, names_, "", {}});
    EXPECT_EQ(completion.error().param, "spolia.retrieve");
    const auto without = parse_chat_request(
        R"({"messages":)" + kAsk + R"(,"spolia":{"retrieve":{"collection":"n"}}})",
        RequestContext{model_, names_, "", {}});
    EXPECT_EQ(without.error().code, "not_supported");
}

TEST_F(WireRetrieval, SaysWhatItAddedToAPromptThatIsTooLong) {
    const Error too_long{ErrorCode::kContextTooLong, "the prompt has 80 tokens"};
    const auto request = chat(kAsk, R"({"collection":"notes","k":3})");
    ASSERT_TRUE(request.ok());
    const ApiError error = submit_error(too_long, *request);
    EXPECT_EQ(error.code, "context_length_exceeded");
    EXPECT_EQ(error.param, "spolia.retrieve.k");
    EXPECT_EQ(error.message.find("the prompt has 80 tokens; 19 tokens are of retrieved chunks"), 0u)
        << error.message;
    EXPECT_NE(error.message.find("lower spolia.retrieve.k (3)"), error.message.npos);
    EXPECT_EQ(submit_error(too_long, ParsedRequest()).message, too_long.message);
    EXPECT_EQ(submit_error({ErrorCode::kOverloaded, "full"}, *request).message, "full");
}

TEST_F(WireRetrieval, NamesEachFieldThatThereIsOnce) {
    const auto refused =
        parse_retrieve_request(R"({"collection":"notes","query":"who?","top_k":9})", {});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().message,
              "'top_k' is not known here; there are collection, query, k, cache_salt");
}

TEST_F(WireRetrieval, ReadsRequestsToRetrieve) {
    const auto request = parse_retrieve_request(
        R"({"collection":"notes","query":"who?","k":9,"cache_salt":"s"})", {});
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(request->wanted.collection, "notes");
    EXPECT_EQ(request->wanted.query, "who?");
    EXPECT_EQ(request->wanted.k, 9);
    EXPECT_EQ(request->cache_salt, "s");
    const std::pair<const char*, const char*> cases[] = {
        {R"({"collection":"n"})", "query"},
        {R"({"collection":"n","query":""})", "query"},
        {R"({"collection":"n","query":1})", "query"},
        {R"({"query":"q"})", "collection"},
        {R"({"collection":".n","query":"q"})", "collection"},
        {R"({"collection":"n","query":"q","order":"reuse"})", "order"},
    };
    for (const auto& [body, param] : cases) {
        const auto refused = parse_retrieve_request(body, {});
        ASSERT_FALSE(refused.ok()) << body;
        EXPECT_EQ(refused.error().param, param) << body;
    }
}

TEST_F(WireRetrieval, WritesWhatWasFound) {
    const Json json = Json::parse(retrieved_json("notes", *answer_, {true, false, false}));
    EXPECT_EQ(json["collection"], "notes");
    ASSERT_EQ(json["data"].size(), 3u);
    EXPECT_EQ(json["data"][0]["text"], "Otters.\n");
    EXPECT_EQ(json["data"][0]["source"], "b");
    EXPECT_EQ(json["data"][0]["warm"], true);
    EXPECT_EQ(json["data"][1]["warm"], false);
    const CollectionInfo info{"notes", {2, 5, 100}};
    EXPECT_EQ(Json::parse(collections_json({&info, 1}))["data"][0], (Json{{"object", "collection"},
                                                                          {"name", "notes"},
                                                                          {"documents", 2},
                                                                          {"chunks", 5},
                                                                          {"bytes", 100}}));

    ResponseHead head{Surface::kChat, "id", "model", 1};
    EXPECT_FALSE(Json::parse(whole_response(head, {}, {}))["spolia"].contains("retrieved"));
    head.retrieved.emplace();
    head.retrieved->push_back({hash_text("x"), "a", "H", 0.25});
    for (const std::string& text : {whole_response(head, {}, {}), finish_chunk(head, false, {})}) {
        EXPECT_EQ(Json::parse(text)["spolia"]["retrieved"],
                  (Json::array({{{"key", hash_text("x").hex()},
                                 {"source", "a"},
                                 {"heading", "H"},
                                 {"score", 0.25}}})));
    }
}

}  // namespace
}  // namespace spolia
