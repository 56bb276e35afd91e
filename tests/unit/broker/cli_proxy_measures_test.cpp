#include "broker/cli/proxy_measures.h"

#include <gtest/gtest.h>

#include "broker/cli/report.h"

namespace spolia {
namespace {

using namespace std::chrono_literals;

TEST(OpenLoopSchedule, IsEvenAndDoesNotDrift) {
    const OpenLoopSchedule::Time start{};
    OpenLoopSchedule schedule(start, 3, 7);
    EXPECT_EQ(schedule.take(), start);
    EXPECT_EQ(schedule.take(), start + 333'333'333ns);
    EXPECT_EQ(schedule.take(), start + 666'666'666ns);
    EXPECT_EQ(schedule.take(), start + 1s);
    EXPECT_EQ(schedule.next_due(), start + 1'333'333'333ns);
    EXPECT_EQ(schedule.take(), start + 1'333'333'333ns);
    schedule.take();
    EXPECT_FALSE(schedule.all_taken());
    EXPECT_EQ(schedule.take(), start + 2s);
    EXPECT_TRUE(schedule.all_taken());
    EXPECT_FALSE(schedule.is_due(start + 1h));
}

// A server that stands still for 50 ms has all that was due meanwhile wait, and each of these
// counts.
TEST(OpenLoopSchedule, ChargesAStallToAllThatWaited) {
    const OpenLoopSchedule::Time start{};
    OpenLoopSchedule schedule(start, 1000, 100);
    std::vector<std::chrono::nanoseconds> latencies;
    OpenLoopSchedule::Time now = start + 50ms;
    while (schedule.is_due(now)) latencies.push_back(now - schedule.take());
    ASSERT_EQ(latencies.size(), 51u);
    EXPECT_EQ(latencies.front(), 50ms);
    EXPECT_EQ(latencies[20], 30ms);
    EXPECT_EQ(latencies.back(), 0ms);
}

TEST(OpenLoopSchedule, HoldsForLongAndFastRuns) {
    OpenLoopSchedule schedule({}, 1'000'000, 2'000'000'000);
    for (int i = 0; i < 1'000'000; ++i) schedule.take();
    EXPECT_EQ(schedule.next_due(), OpenLoopSchedule::Time{} + 1s);
}

constexpr const char* kWrkOutput = R"(Running 3s test @ http://127.0.0.1:8080/v1/chat/completions
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   712.01us    1.05ms  24.00ms   95.51%
    Req/Sec    45.15k     4.30k   52.61k    70.00%
  134823 requests in 3.00s, 90.51MB read
Requests/sec:  44915.26
Transfer/sec:     30.15MB
)";

TEST(Wrk, TellsRequestsASecond) {
    const Result<double> rate = requests_per_second_in(kWrkOutput);
    ASSERT_TRUE(rate.ok());
    EXPECT_DOUBLE_EQ(*rate, 44915.26);
}

TEST(Wrk, FailsWhereRequestsDid) {
    for (const char* failed : {"  Socket errors: connect 0, read 12, write 0, timeout 0\n",
                               "  Non-2xx or 3xx responses: 5\n"}) {
        const Result<double> rate = requests_per_second_in(std::string(kWrkOutput) + failed);
        ASSERT_FALSE(rate.ok());
        EXPECT_NE(rate.error().message.find(std::string(failed).substr(2, 20)), std::string::npos)
            << rate.error().message;
    }
    EXPECT_FALSE(requests_per_second_in("unable to connect to 127.0.0.1:1").ok());
    EXPECT_FALSE(requests_per_second_in("Requests/sec:      0.00\n").ok());
}

TEST(ResidentBytes, AreReadFromAStatus) {
    EXPECT_EQ(resident_bytes_in("Name:\tnginx\nVmHWM:\t    9000 kB\nVmRSS:\t    5120 kB\n"),
              uint64_t{5120} << 10);
    EXPECT_EQ(resident_bytes_in("Name:\tkthreadd\n"), 0u);
}

TEST(SentTimes, LeaveTheBeginningOfTheNextEvent) {
    std::string body =
        "data: {\"sent_ns\":12,\"choices\":[]}\n\n: a comment\n\n"
        "data: {\"sent_ns\":9007199254740993}\n\ndata: [DONE]\n\ndata: {\"sent_n";
    EXPECT_EQ(take_sent_times(body), (std::vector<int64_t>{12, 9007199254740993}));
    EXPECT_EQ(body, "data: {\"sent_n");
    body += "s\":77}\n";
    EXPECT_TRUE(take_sent_times(body).empty());
    body += "\n";
    EXPECT_EQ(take_sent_times(body), std::vector<int64_t>{77});
    EXPECT_EQ(body, "");
}

TEST(Samples, QuantilesAreValuesThatWereSeen) {
    Samples samples;
    EXPECT_EQ(samples.quantile(0.99), 0);
    for (int i = 100; i > 0; --i) samples.add(i);
    EXPECT_EQ(samples.median(), 50.5);
    EXPECT_EQ(samples.quantile(0.5), 50);
    EXPECT_EQ(samples.quantile(0.9), 90);
    EXPECT_EQ(samples.quantile(0.99), 99);
    EXPECT_EQ(samples.quantile(1), 100);
    EXPECT_EQ(samples.quantile(0), 1);
}

}  // namespace
}  // namespace spolia
