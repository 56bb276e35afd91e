#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "broker/cli/bench_proxy.h"
#include "broker/cli/chat_request.h"
#include "broker/cli/fixed_rate.h"
#include "broker/cli/proxy_servers.h"
#include "broker/cli/report.h"
#include "broker/cli/wrk.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

// By the way's name; a value a round.
using ByWay = std::map<std::string, Samples>;

constexpr const char* kPart = "overhead";

Status measure_requests(const ProxyBenchOptions& options, const ProxyServers& servers,
                        ByWay& per_s) {
    Result<std::filesystem::path> script = servers.folder->write(
        "post.lua", wrk_script(chat_body(static_cast<size_t>(options.request_bytes))));
    if (!script) return script.error();
    // The first round warms up.
    for (int round = 0; round <= options.rounds; ++round) {
        for (const ProxyServers::Way& way : servers.ways) {
            std::fprintf(stderr, "\rrequests a second: round %d/%d, %-8s", round, options.rounds,
                         way.name.c_str());
            const Result<double> rate =
                measure_wrk({options.wrk, *script, way.server->port(), options.connections,
                             round == 0 ? 1.0 : 1.0 * options.seconds});
            if (!rate.ok()) return rate.error();
            if (round > 0) per_s[way.name].add(*rate);
        }
    }
    std::fprintf(stderr, "\n");
    return {};
}

void report_requests(const ProxyServers& servers, ByWay& per_s, ProxyReport& report) {
    std::vector<std::vector<std::string>> table = {{"requests a second", "median", "of nginx's"}};
    for (const ProxyServers::Way& way : servers.ways) {
        const Samples& samples = per_s[way.name];
        Json row = {{"part", kPart},
                    {"measure", "requests"},
                    {"server", way.name},
                    {"requests_per_s", samples.json()}};
        std::string share = "-";
        if (servers.nginx) {
            const double ratio = samples.median() / per_s["nginx"].median();
            row["vs_peer"] = {{"nginx", ratio}};
            share = short_ratio(ratio);
        }
        report.rows.push_back(row);
        table.push_back({way.name, short_number(samples.median()), share});
    }
    report.text += format_table(table) + "\n";
}

constexpr std::pair<const char*, double> kShares[] = {{"median", 0.5}, {"p90", 0.9}, {"p99", 0.99}};

// By name of the share, then by way.
using Latencies = std::map<std::string, ByWay>;

Status measure_latency(const ProxyBenchOptions& options, const ProxyServers& servers,
                       Latencies& latencies, Latencies& added) {
    FixedRate load;
    load.request = chat_request(static_cast<size_t>(options.request_bytes));
    load.per_second = options.rate;
    load.unrecorded = options.rate / 4;
    load.total = load.unrecorded + int64_t{options.rate} * options.seconds;
    load.connections = options.connections;
    for (int round = 1; round <= options.rounds; ++round) {
        for (const ProxyServers::Way& way : servers.ways) {
            std::fprintf(stderr, "\rlatency: round %d/%d, %-8s", round, options.rounds,
                         way.name.c_str());
            load.port = way.server->port();
            const Result<Samples> seen = measure_fixed_rate(load);
            if (!seen.ok()) return Error{seen.error().code, way.name + ": " + seen.error().message};
            for (const auto& [name, share] : kShares) {
                const double value = seen->quantile(share);
                latencies[name][way.name].add(value);
                added[name][way.name].add(value - latencies[name]["bare"].values.back());
            }
        }
    }
    std::fprintf(stderr, "\n");
    return {};
}

void report_latency(const ProxyBenchOptions& options, const ProxyServers& servers,
                    Latencies& latencies, Latencies& added, ProxyReport& report) {
    std::vector<std::vector<std::string>> table = {
        {"us at " + std::to_string(options.rate) + " requests/s", "median", "p90", "p99",
         "added: median", "p90", "p99"}};
    for (const ProxyServers::Way& way : servers.ways) {
        Json row = {{"part", kPart}, {"measure", "latency"}, {"server", way.name}};
        std::vector<std::string> line = {way.name};
        for (const auto& [field, values] :
             {std::pair("latency_us", &latencies), std::pair("added_us", &added)}) {
            for (const auto& [name, share] : kShares) {
                const double median = (*values)[name][way.name].median();
                row[field][name] = median;
                line.push_back(short_number(median));
            }
        }
        report.rows.push_back(row);
        table.push_back(line);
    }
    report.text += format_table(table) + "\n";
}

}  // namespace

Status bench_proxy_overhead(const ProxyBenchOptions& options, ProxyReport& report) {
    const Result<ProxyServers> servers = start_proxy_servers(options, true, kPart, report);
    if (!servers.ok()) return servers.error();
    ByWay per_s;
    const Status requests = measure_requests(options, *servers, per_s);
    if (requests.ok()) {
        report_requests(*servers, per_s, report);
    } else if (requests.error().code == ErrorCode::kNotFound) {
        report.skip(kPart, requests.error());
    } else {
        return requests;
    }
    Latencies latencies, added;
    if (Status status = measure_latency(options, *servers, latencies, added); !status) {
        return status;
    }
    report_latency(options, *servers, latencies, added, report);
    return {};
}

}  // namespace spolia
