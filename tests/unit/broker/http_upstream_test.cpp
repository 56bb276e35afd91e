#include "broker/http/upstream.h"

#include <thread>

#include "broker/http/upstream_probe.h"
#include "tests/support/raw_server.h"

#include <gtest/gtest.h>

namespace spolia {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::shared_ptr<Upstream> open(const std::string& url) {
    auto upstream = Upstream::open(url, UpstreamConfig());
    EXPECT_TRUE(upstream.ok()) << upstream.error().message;
    return *std::move(upstream);
}

TEST(Upstream, LeavesOutTheVersionThatRequestsBring) {
    EXPECT_EQ(open("http://h:1/v1/")->url().path, "");
    EXPECT_EQ(open("http://h:1/base/v1")->url().path, "/base");
    EXPECT_EQ(open("http://h:1/base")->url().path, "/base");
    EXPECT_FALSE(Upstream::open("h:1", UpstreamConfig()).ok());
}

TEST(Upstream, IsPassedOverLongerEachTimeUpToABound) {
    const auto upstream = open("http://h:1");
    EXPECT_TRUE(upstream->healthy());
    for (int i = 0; i < 4; ++i) upstream->note_failure(UpstreamFailure::kConnect);
    const auto now = Upstream::Clock::now();
    EXPECT_FALSE(upstream->healthy(now + milliseconds(1000)));
    EXPECT_TRUE(upstream->healthy(now + milliseconds(2001)));
    for (int i = 0; i < 100; ++i) upstream->note_failure(UpstreamFailure::kConnect);
    EXPECT_FALSE(upstream->healthy(Upstream::Clock::now() + seconds(30)));
    EXPECT_TRUE(upstream->healthy(Upstream::Clock::now() + seconds(33)));
    upstream->note_connected();
    EXPECT_TRUE(upstream->healthy());
    upstream->note_failure(UpstreamFailure::kClosed);
    EXPECT_TRUE(upstream->healthy()) << "it can be reached";
}

TEST(Upstream, TheLeastBusyThatCanBeReachedComesFirst) {
    const std::vector<std::shared_ptr<Upstream>> all = {open("http://a:1"), open("http://b:1"),
                                                        open("http://c:1")};
    const auto order = [&](size_t turn) {
        std::string names;
        for (const auto& upstream : by_load(all, turn)) names += upstream->url().host;
        return names;
    };
    EXPECT_EQ(order(0), "abc");
    EXPECT_EQ(order(4), "bca");
    const Upstream::InFlight busy(*all[0]);
    EXPECT_EQ(order(0), "bca");
    all[1]->note_failure(UpstreamFailure::kConnect);
    EXPECT_EQ(order(0), "cab");
}

TEST(Upstream, CountsForMetrics) {
    const std::vector<std::shared_ptr<Upstream>> all = {open("http://a:1")};
    all[0]->note_status(200);
    all[0]->note_status(204);
    all[0]->note_status(503);
    all[0]->note_failure(UpstreamFailure::kIdleTimeout);
    const Upstream::InFlight busy(*all[0]);
    MetricsText metrics;
    add_upstream_metrics(all, metrics);
    const std::string text = metrics.text();
    for (const char* line :
         {"spolia_upstream_requests_total{upstream=\"a:1\",status_class=\"2xx\"} 2\n",
          "spolia_upstream_requests_total{upstream=\"a:1\",status_class=\"5xx\"} 1\n",
          "spolia_upstream_failures_total{upstream=\"a:1\",reason=\"idle_timeout\"} 1\n",
          "spolia_upstream_failures_total{upstream=\"a:1\",reason=\"connect\"} 0\n",
          "spolia_upstream_in_flight{upstream=\"a:1\"} 1\n"}) {
        EXPECT_NE(text.find(line), text.npos) << line << text;
    }
}

TEST(UpstreamProbe, FindsOutWhoAnswersAndWhoCameBack) {
    testing::RawServer server;
    testing::RawServer other;
    const auto up = open(server.url());
    const auto down = open(other.url());
    other.close();
    EXPECT_FALSE(up->answers());
    up->note_failure(UpstreamFailure::kConnect);
    const UpstreamProbe probe({up, down}, milliseconds(1));
    while (!up->answers() || !up->healthy()) std::this_thread::yield();
    while (down->healthy()) std::this_thread::yield();
    EXPECT_FALSE(down->answers());
}

}  // namespace
}  // namespace spolia
