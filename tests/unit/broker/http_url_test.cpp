#include "broker/http/url.h"

#include <gtest/gtest.h>

namespace spolia {
namespace {

TEST(HttpUrlTest, ReadsUrls) {
    const auto read = [](const char* text) {
        const Result<HttpUrl> url = parse_http_url(text);
        EXPECT_TRUE(url.ok()) << text;
        return url.ok() ? *url : HttpUrl();
    };
    const HttpUrl url = read("http://example.org:8081/v1/");
    EXPECT_EQ(url.host, "example.org");
    EXPECT_EQ(url.port, 8081);
    EXPECT_EQ(url.path, "/v1");
    EXPECT_EQ(url.text(), "http://example.org:8081/v1");
    EXPECT_EQ(read("http://localhost").text(), "http://localhost");
    EXPECT_EQ(read("http://localhost:80/").text(), "http://localhost");
    EXPECT_EQ(read("http://[::1]:8081/v1").host, "::1");
    EXPECT_EQ(read("http://[::1]:8081/v1").text(), "http://[::1]:8081/v1");
    EXPECT_EQ(read("http://[::1]").port, 80);
}

TEST(HttpUrlTest, PutsIpv6AddressesInBrackets) {
    EXPECT_EQ(authority_of("::1", 80), "[::1]:80");
    EXPECT_EQ(authority_of("localhost", 8080), "localhost:8080");
}

TEST(HttpUrlTest, RefusesOthers) {
    for (const char* text : {"",
                             "localhost:80",
                             "http://",
                             "http://:80",
                             "ftp://x",
                             "http://x:0",
                             "http://x:65536",
                             "http://x:y",
                             "http://x:",
                             "http://x/?a=b",
                             "http://x/#a",
                             "http://x y",
                             "http://x\r\n",
                             "http://user:password@x",
                             "http://::1",
                             "http://a:b:80",
                             "http://[::1]x:80",
                             "http://[::1",
                             "http://[]:80",
                             "http://[x]:80",
                             "http://x]:80",
                             "http://[::1]80"}) {
        const Result<HttpUrl> url = parse_http_url(text);
        ASSERT_FALSE(url.ok()) << text;
        EXPECT_EQ(url.error().code, ErrorCode::kInvalidArgument);
        EXPECT_EQ(url.error().message.find("password@"), std::string::npos);
    }
    const Result<HttpUrl> tls = parse_http_url("https://api.example.org/v1");
    ASSERT_FALSE(tls.ok());
    EXPECT_EQ(tls.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(tls.error().message.find("proxy"), std::string::npos) << "what to do";
}

}  // namespace
}  // namespace spolia
