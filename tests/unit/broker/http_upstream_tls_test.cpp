#include "broker/http/upstream_tls.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/tls_server.h"
#include "tests/unit/broker/relay_fixture.h"

namespace spolia {
namespace {

using testing::HttpClient;
using testing::SelfSigned;
using testing::TlsPeer;

class UpstreamTlsTest : public testing::RelayTest {
protected:
    void SetUp() override {
        config_.upstream.ca_file =
            std::filesystem::path(::testing::TempDir()) /
            (std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()) + ".pem");
    }
    void TearDown() override { std::filesystem::remove(config_.upstream.ca_file); }

    // What a client gets whose upstream shows this certificate.
    int status_with(const SelfSigned& identity) {
        HttpClient client(port());
        client.request("GET", "/");
        TlsPeer upstream(origin_.accept(), identity);
        if (upstream.shake_hands() && !upstream.read_through("\r\n\r\n").empty()) {
            upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
        return client.response().status;
    }
};

TEST_F(UpstreamTlsTest, SpeaksTlsAndKeepsTheConnection) {
    const SelfSigned identity("IP:127.0.0.1,DNS:localhost");
    identity.write(config_.upstream.ca_file);
    const std::string port_of_it = origin_.authority().substr(origin_.authority().find(':'));
    start({"https://localhost" + port_of_it});
    HttpClient client(port());
    client.request("POST", "/v1/x", "hello");
    TlsPeer upstream(origin_.accept(), identity);
    ASSERT_TRUE(upstream.shake_hands());
    EXPECT_EQ(upstream.server_name(), "localhost");
    for (int i = 0; i < 3; ++i) {
        if (i > 0) client.request("POST", "/v1/x", "hello");
        EXPECT_TRUE(upstream.read_through("\r\n\r\n").starts_with("POST /v1/x "));
        EXPECT_EQ(upstream.read_through("hello"), "hello");
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        EXPECT_EQ(client.response().body, "ok");
    }
}

TEST_F(UpstreamTlsTest, ChecksWhoItTalksTo) {
    const SelfSigned identity("IP:127.0.0.1");
    identity.write(config_.upstream.ca_file);
    start({origin_.url("https")});
    EXPECT_EQ(status_with(identity), 200);
    EXPECT_EQ(status_with(SelfSigned("IP:127.0.0.1")), 502) << "a stranger's certificate";
}

TEST_F(UpstreamTlsTest, ChecksTheNameOfTheHost) {
    const SelfSigned identity("IP:127.0.0.2,DNS:other.example");
    identity.write(config_.upstream.ca_file);
    start({origin_.url("https")});
    EXPECT_EQ(status_with(identity), 502);
}

TEST_F(UpstreamTlsTest, TellsOfCertificatesThatCantBeRead) {
    std::ofstream(config_.upstream.ca_file) << "no certificate";
    const auto upstream = Upstream::open("https://127.0.0.1:1", config_.upstream);
    ASSERT_FALSE(upstream.ok());
    EXPECT_NE(upstream.error().message.find(config_.upstream.ca_file.string()), std::string::npos);
}

}  // namespace
}  // namespace spolia
