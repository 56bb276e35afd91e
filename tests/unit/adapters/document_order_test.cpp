#include "adapters/openai/document_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include <nlohmann/json.hpp>

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

std::string request(const std::vector<std::string>& texts, const char* mode = "any_order") {
    Json parts = Json::array();
    for (const std::string& text : texts) parts.push_back({{"type", "text"}, {"text", text}});
    return Json{{"messages", {{{"role", "user"}, {"content", parts}}}},
                {"spolia", {{"documents", mode}}}}
        .dump();
}

std::string sorted(DocumentOrder& order, const std::string& body) {
    std::vector<BodyEdit> edits;
    order.sort_documents(body, *json_document(body), edits);
    return apply_edits(body, std::move(edits));
}

std::vector<std::string> texts_of(const std::string& body) {
    std::vector<std::string> texts;
    const Json json = Json::parse(body);
    for (const Json& part : json["messages"][0]["content"]) texts.push_back(part["text"]);
    return texts;
}

TEST(DocumentOrderTest, SetsOfTheSameDocumentsComeOutAlike) {
    DocumentOrder order;
    const auto first = texts_of(sorted(order, request({"Answer.", "A", "B", "C", "Who?"})));
    const auto other = texts_of(sorted(order, request({"Answer.", "C", "A", "B", "When?"})));
    ASSERT_EQ(first.size(), 5u);
    EXPECT_EQ(first.front(), "Answer.");
    EXPECT_EQ(first.back(), "Who?");
    EXPECT_EQ(other.back(), "When?");
    EXPECT_TRUE(std::equal(first.begin(), first.end() - 1, other.begin()));
}

TEST(DocumentOrderTest, DocumentsOfManySetsComeFirst) {
    DocumentOrder order;
    for (int i = 0; i < 20; ++i) {
        sorted(order, request({"Answer.", "rare " + std::to_string(i), "common", "Who?"}));
    }
    for (int i = 0; i < 20; ++i) {
        const auto texts = texts_of(
            sorted(order, request({"Answer.", "new " + std::to_string(i), "common", "Who?"})));
        EXPECT_EQ(texts[1], "common");
    }
}

TEST(DocumentOrderTest, ASetKeepsItsOrder) {
    DocumentOrder order;
    const std::string body = request({"Answer.", "A", "B", "Who?"});
    const auto before = texts_of(sorted(order, body));
    const std::string& last = before[2];
    for (int i = 0; i < 10; ++i) {
        sorted(order, request({"Answer.", last, "other " + std::to_string(i), "Who?"}));
    }
    EXPECT_EQ(texts_of(sorted(order, body)), before);
}

TEST(DocumentOrderTest, OnlyWhereTheRequestAllowsIt) {
    DocumentOrder order;
    std::string image = request({"Answer.", "Z", "A", "Who?"});
    image.replace(image.find(R"("type":"text","text":"A")"), 24, R"("type":"image","text":"A")");
    std::string system = request({"Answer.", "Z", "Y", "A", "Who?"});
    system.replace(system.find("\"user\""), 6, "\"system\"");
    for (const std::string& body :
         {request({"Answer.", "Z", "Y", "A", "B", "Who?"}, "in_order"), image, system,
          request({"Answer.", "Z", "Who?"}), std::string("{}"),
          std::string(R"({"messages":[{"role":"user","content":"x"}]})")}) {
        EXPECT_EQ(sorted(order, body), body);
    }
}

TEST(DocumentOrderTest, KeepsEveryDocumentAndForgetsWithinItsBound) {
    const uint64_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    DocumentOrder order(8, 4);
    for (int i = 0; i < 2000; ++i) {
        std::vector<std::string> texts = {"first"};
        for (size_t n = 2 + random() % 5; n > 0; --n) {
            texts.push_back("doc " + std::to_string(random() % 10));
        }
        texts.push_back("last");
        auto out = texts_of(sorted(order, request(texts)));
        ASSERT_EQ(out.front(), "first");
        ASSERT_EQ(out.back(), "last");
        std::sort(texts.begin(), texts.end());
        std::sort(out.begin(), out.end());
        ASSERT_EQ(out, texts);
    }
}

}  // namespace
}  // namespace spolia
