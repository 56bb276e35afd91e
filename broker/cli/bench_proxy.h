#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "index/result.h"

namespace spolia {

struct ProxyBenchOptions {
    std::vector<std::string> parts = {"overhead", "streams", "ttft"};
    int rounds = 5;
    int seconds = 3;  // of each measurement
    int proxy_threads;
    std::string nginx = "nginx";
    // overhead
    std::string wrk = "wrk";
    int rate = 1000;
    int connections = 32;
    int request_bytes = 2048;
    // streams
    int streams = 1000;
    int few_streams = 8;
    int events_per_s = 50;
    // ttft
    std::string model;
    std::string llama_server;
    int chunks = 8;
    int chunk_tokens = 256;
    int question_tokens = 32;
    double ratio = 0.15;
    int threads;

    ProxyBenchOptions();  // as many threads as there are cores
};

// What the parts of `bench proxy` add to its object and its text.
struct ProxyReport {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    nlohmann::ordered_json peers = nlohmann::ordered_json::array();
    nlohmann::ordered_json skipped = nlohmann::ordered_json::array();
    std::string text;

    // Once for each name.
    void add_peer(const std::string& name, const std::string& command,
                  const std::string& version = {});
    // Something is not measured, since a program is not here. Told on stderr as well.
    void skip(const std::string& part, const Error& why);
};

// The parts. Each in its file bench_proxy_PART.cpp.
Status bench_proxy_overhead(const ProxyBenchOptions& options, ProxyReport& report);
Status bench_proxy_streams(const ProxyBenchOptions& options, ProxyReport& report);
Status bench_proxy_ttft(const ProxyBenchOptions& options, ProxyReport& report);

}  // namespace spolia
