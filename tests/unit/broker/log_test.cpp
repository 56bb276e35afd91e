#include "broker/log.h"

#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace spolia {
namespace {

const LogField kFields[] = {
    {"path", "/v1/x"}, {"n", int64_t{-3}}, {"ms", 1.5}, {"note", "a \"b\"\n"}};

TEST(Log, WritesTextThatCantBeForged) {
    EXPECT_EQ(format_log_line(LogFormat::kText, LogLevel::kInfo, "T", "request", kFields),
              R"(T info request path=/v1/x n=-3 ms=1.500 note="a \"b\"\u000a")");
}

TEST(Log, WritesJson) {
    const std::string line =
        format_log_line(LogFormat::kJson, LogLevel::kError, "T", "re\"quest", kFields);
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["time"], "T");
    EXPECT_EQ(json["level"], "error");
    EXPECT_EQ(json["message"], "re\"quest");
    EXPECT_EQ(json["n"], -3);
    EXPECT_EQ(json["ms"], 1.5);
    EXPECT_EQ(json["note"], "a \"b\"\n");
}

TEST(Log, NumbersStayNumbers) {
    const LogField fields[] = {{"a", std::numeric_limits<double>::infinity()},
                               {"b", std::numeric_limits<double>::quiet_NaN()},
                               {"c", 1e300}};
    const auto json =
        nlohmann::json::parse(format_log_line(LogFormat::kJson, LogLevel::kInfo, "", "", fields));
    for (const char* key : {"a", "b", "c"}) EXPECT_TRUE(json[key].is_number()) << key;
}

TEST(Log, NamesRoundTrip) {
    EXPECT_EQ(log_level_from("warning"), LogLevel::kWarning);
    EXPECT_EQ(log_level_from("off"), LogLevel::kOff);
    EXPECT_FALSE(log_level_from("loud"));
    EXPECT_EQ(log_format_from("json"), LogFormat::kJson);
    EXPECT_FALSE(log_format_from("xml"));
}

}  // namespace
}  // namespace spolia
