#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "index/result.h"

namespace spolia {

struct ProgramLimits {
    std::chrono::seconds time_max{60};
    size_t output_bytes_max = size_t{128} << 20;
    size_t memory_bytes_max = size_t{2} << 30;
};

// Runs a program to its end, without a shell, and gives what it writes to its standard output. One
// without a slash in its name is looked for in PATH. A program beyond its limits is ended.
// kNotFound: there is no such program; kInvalidArgument: it failed, or needed too much.
Result<std::string> program_output(const std::vector<std::string>& command,
                                   const ProgramLimits& limits);

}  // namespace spolia
