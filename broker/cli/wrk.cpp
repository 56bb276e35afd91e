#include "broker/cli/wrk.h"

#include <algorithm>
#include <cmath>

#include "broker/cli/child_process.h"
#include "broker/cli/proxy_measures.h"

namespace spolia {

std::string wrk_script(const std::string& body) {
    return "wrk.method = \"POST\"\nwrk.body = [==[" + body +
           "]==]\nwrk.headers[\"Content-Type\"] = \"application/json\"\n";
}

Result<double> measure_wrk(const WrkOptions& options) {
    const std::filesystem::path program = find_program(options.program);
    if (program.empty()) {
        return Error{ErrorCode::kNotFound, "there is no " + options.program + " (Debian: wrk)"};
    }
    // It takes whole seconds only.
    const auto seconds = std::max(1L, std::lround(options.seconds));
    const Result<std::string> output =
        run_captured({program.string(), "-t1", "-c" + std::to_string(options.connections),
                      "-d" + std::to_string(seconds) + "s", "-s", options.script.string(),
                      "http://127.0.0.1:" + std::to_string(options.port) + "/v1/chat/completions"});
    if (!output) return output.error();
    return requests_per_second_in(*output);
}

}  // namespace spolia
