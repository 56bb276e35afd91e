#include "broker/proxy/receipt_writer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

namespace spolia {
namespace {

using Json = nlohmann::json;

Receipt receipt() {
    Receipt receipt;
    receipt.policy = "cacheblend";
    receipt.n_prompt = 100;
    receipt.n_exact = 7;
    receipt.n_shifted = 93;
    return receipt;
}

// As it comes out, however it is cut.
std::string passed(std::string_view body, bool events, size_t piece = std::string::npos) {
    ReceiptWriter writer(receipt(), events);
    std::string out;
    for (size_t begin = 0; begin < body.size(); begin += std::min(piece, body.size())) {
        const std::string_view bytes = body.substr(begin, piece);
        out += writer.pass(bytes, begin + bytes.size() == body.size());
    }
    return out;
}

constexpr std::string_view kAnswer =
    R"({"id": "x", "choices": [{"index":0}], "usage": {"prompt_tokens": 100,)"
    R"( "prompt_tokens_details": {"cached_tokens": 99}}, "timings": {"cache_n": 99} })";

TEST(ReceiptWriter, CountsExactRowsAndAddsTheReceipt) {
    const std::string out = passed(kAnswer, false);
    const Json json = Json::parse(out);
    EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 7);
    EXPECT_EQ(json["spolia"]["policy"], "cacheblend");
    EXPECT_EQ(json["spolia"]["tokens"]["shifted"], 93);
    // What the server says of itself stays, and so does every byte in front.
    EXPECT_EQ(json["timings"]["cache_n"], 99);
    EXPECT_TRUE(out.starts_with(kAnswer.substr(0, kAnswer.find("99"))));
}

TEST(ReceiptWriter, ChangesEventsThatCount) {
    const std::string events =
        "data: {\"choices\": [{\"delta\": {\"content\": \"usage\"}}]}\n\n"
        "data: {\"choices\": [], \"timings\": {\"cache_n\": 99}}\r\n\r\n"
        "data: {\"usage\": {\"prompt_tokens_details\": {\"cached_tokens\": 99}}}\n\n"
        "data: [DONE]\n\n";
    const std::string out = passed(events, true);
    EXPECT_TRUE(out.starts_with(events.substr(0, events.find("data: {\"choices\": [],"))));
    EXPECT_NE(out.find("\"timings\": {\"cache_n\": 99},\"spolia\":{\"policy\":\"cacheblend\""),
              out.npos);
    EXPECT_NE(out.find("{\"cached_tokens\": 7}}}\n\n"), out.npos);
    EXPECT_TRUE(out.ends_with("data: [DONE]\n\n"));
    EXPECT_NE(out.find("}}\r\n\r\n"), out.npos) << "line ends stay";
}

TEST(ReceiptWriter, GivesTheSameHoweverTheBodyIsCut) {
    const std::string events =
        "data: {\"timings\": {\"cache_n\": 99}}\n\nevent: x\ndata: [DONE]\n\n";
    for (size_t piece = 1; piece < kAnswer.size(); ++piece) {
        EXPECT_EQ(passed(kAnswer, false, piece), passed(kAnswer, false)) << piece;
        EXPECT_EQ(passed(events, true, piece), passed(events, true)) << piece;
    }
}

TEST(ReceiptWriter, NeverHoldsAWholeEventBack) {
    ReceiptWriter writer(receipt(), true);
    const std::string_view event = "data: {\"choices\": []}\n\n";
    EXPECT_EQ(writer.pass(event, false), event);
    EXPECT_EQ(writer.pass("data: {\"cho", false), "");
    EXPECT_EQ(writer.pass("ices\": []}\n\n", false), event);
}

TEST(ReceiptWriter, PassesWhatItCannotRead) {
    for (const std::string_view body : {"", "timings", "{\"timings\": ", "[{\"timings\": {}}]"}) {
        EXPECT_EQ(passed(body, false), body);
    }
    const std::string event = "data: {\"timings\": \n\n";
    EXPECT_EQ(passed(event, true), event);
}

TEST(ReceiptWriter, PassesWhatIsTooLongToHold) {
    const std::string text(ReceiptWriter::kHeldBytesMax + (1 << 17), 'x');
    const std::string body = "{\"content\": \"" + text + "\", \"timings\": {}}";
    EXPECT_EQ(passed(body, false, 1 << 16), body);
    const std::string events = "data: " + body + "\n\ndata: {\"timings\": {}}\n\n";
    const std::string out = passed(events, true, 1 << 16);
    EXPECT_TRUE(out.starts_with("data: " + body + "\n\ndata: {\"timings\": {},\"spolia\":"));
}

}  // namespace
}  // namespace spolia
