#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "broker/cli/bench_proxy.h"
#include "broker/cli/proxy_servers.h"
#include "broker/cli/report.h"
#include "broker/cli/stream_load.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPart = "streams";
// A stream opened first still runs when the one opened last has had an event, a second apart.
constexpr int kManyEventsMin = 4;

struct ManyStreams {
    double bytes_per_stream = 0;
    Samples lateness_us;
};

Result<ManyStreams> measure_many(const ProxyBenchOptions& options, const ServerProcess& server) {
    // What a server makes once is made by these.
    const Result<Samples> warm =
        read_streams({server.port(), 8, 10, std::chrono::milliseconds(10)}, {});
    if (!warm.ok()) return warm.error();
    const Result<uint64_t> before = server.resident_bytes();
    if (!before.ok()) return before.error();
    Result<uint64_t> during = uint64_t{0};
    Result<Samples> lateness =
        read_streams({server.port(), options.streams, std::max(options.seconds, kManyEventsMin),
                      std::chrono::seconds(1)},
                     [&] { during = server.resident_bytes(); });
    if (!lateness) return lateness.error();
    if (!during) return during.error();
    const auto grown = static_cast<double>(*during) - static_cast<double>(*before);
    return ManyStreams{grown / options.streams, std::move(lateness).value()};
}

Json lateness_json(double median, double p99) { return {{"median", median}, {"p99", p99}}; }

Status bench_many(const ProxyBenchOptions& options, const ProxyServers& servers,
                  ProxyReport& report) {
    std::vector<std::vector<std::string>> table = {
        {std::to_string(options.streams) + " streams", "kB a stream", "late (us): median", "p99"}};
    for (const ProxyServers::Way& way : servers.ways) {
        std::fprintf(stderr, "\r%d streams, %-8s", options.streams, way.name.c_str());
        const Result<ManyStreams> seen = measure_many(options, *way.server);
        if (!seen.ok()) return Error{seen.error().code, way.name + ": " + seen.error().message};
        const double median = seen->lateness_us.median(), p99 = seen->lateness_us.quantile(0.99);
        report.rows.push_back({{"part", kPart},
                               {"measure", "memory"},
                               {"server", way.name},
                               {"streams", options.streams},
                               {"events_per_s", 1},
                               {"bytes_per_stream", seen->bytes_per_stream},
                               {"lateness_us", lateness_json(median, p99)}});
        table.push_back({way.name, short_number(seen->bytes_per_stream / 1000),
                         short_number(median), short_number(p99)});
    }
    std::fprintf(stderr, "\n");
    report.text += format_table(table) + "\n";
    return {};
}

struct Lateness {
    Samples median_us, p99_us;  // a value a round
};

Status bench_few(const ProxyBenchOptions& options, const ProxyServers& servers,
                 ProxyReport& report) {
    std::map<std::string, Lateness> by_way;
    StreamLoad load{0, options.few_streams, options.events_per_s * options.seconds,
                    std::chrono::microseconds(1'000'000 / options.events_per_s)};
    for (int round = 0; round <= options.rounds; ++round) {
        for (const ProxyServers::Way& way : servers.ways) {
            std::fprintf(stderr, "\r%d streams: round %d/%d, %-8s", options.few_streams, round,
                         options.rounds, way.name.c_str());
            load.port = way.server->port();
            load.events = round == 0 ? 2 : options.events_per_s * options.seconds;
            const Result<Samples> seen = read_streams(load, {});
            if (!seen.ok()) return Error{seen.error().code, way.name + ": " + seen.error().message};
            if (round == 0) continue;
            by_way[way.name].median_us.add(seen->median());
            by_way[way.name].p99_us.add(seen->quantile(0.99));
        }
    }
    std::fprintf(stderr, "\n");
    std::vector<std::vector<std::string>> table = {{std::to_string(load.streams) + " streams of " +
                                                        std::to_string(options.events_per_s) +
                                                        " events/s",
                                                    "late (us): median", "p99"}};
    for (const ProxyServers::Way& way : servers.ways) {
        const Lateness& late = by_way[way.name];
        const double median = late.median_us.median(), p99 = late.p99_us.median();
        report.rows.push_back({{"part", kPart},
                               {"measure", "lateness"},
                               {"server", way.name},
                               {"streams", load.streams},
                               {"events_per_s", options.events_per_s},
                               {"lateness_us", lateness_json(median, p99)}});
        table.push_back({way.name, short_number(median), short_number(p99)});
    }
    report.text += format_table(table) + "\n";
    return {};
}

}  // namespace

Status bench_proxy_streams(const ProxyBenchOptions& options, ProxyReport& report) {
    const Result<ProxyServers> servers = start_proxy_servers(options, false, kPart, report);
    if (!servers.ok()) return servers.error();
    if (Status status = bench_many(options, *servers, report); !status) return status;
    return bench_few(options, *servers, report);
}

}  // namespace spolia
