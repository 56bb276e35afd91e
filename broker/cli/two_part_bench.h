#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "broker/cli/open_model.h"
#include "index/result.h"

namespace CLI {
class App;
}

namespace spolia {

// What benches are asked that measure times with one model and answers with another.
struct TwoPartOptions {
    TwoPartOptions();  // as many threads as there are cores

    std::string part = "both";
    std::string model;  // for answers; empty: the sample model
    std::string times_model;
    std::string cache_directory;
    int threads = 1;
    int gpu_layers = 0;
    std::string format = "text";
    bool quiet = false;
};

// --part, which comes first, and all the others. `options` must outlive the parsing.
void add_part_option(CLI::App& command, TwoPartOptions& options);
void add_two_part_options(CLI::App& command, TwoPartOptions& options);
// An option of a number from `least` to `most`.
void add_number(CLI::App& command, const char* name, int& value, int least, int most,
                const char* help);

// What a part reports.
struct BenchPart {
    nlohmann::ordered_json json;
    std::string text;
};

// The parts that are asked for, one behind the other; gives the exit code.
int run_parts(const char* command, const TwoPartOptions& options,
              const std::function<Result<BenchPart>()>& times,
              const std::function<Result<BenchPart>()>& answers);

// The model for times, or the timing model.
Result<std::filesystem::path> model_for_times(const TwoPartOptions& options);
Result<OpenModel> open_for_bench(const std::filesystem::path& path, const TwoPartOptions& options,
                                 int n_ctx, int n_sequences);

}  // namespace spolia
