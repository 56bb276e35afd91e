#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "index/result.h"

namespace spolia {

struct WrkOptions {
    std::string program = "wrk";
    std::filesystem::path script;  // see wrk_script()
    uint16_t port = 0;
    int connections = 32;
    double seconds = 3;
};

// A script for wrk: POSTs `body` as JSON. `body` has no line breaks.
std::string wrk_script(const std::string& body);

// As many requests as one thread of wrk gets answered; a second. Fails with kNotFound where there
// is no wrk, with kIo where requests failed.
Result<double> measure_wrk(const WrkOptions& options);

}  // namespace spolia
