#pragma once

#include <string>
#include <utility>
#include <vector>

#include "broker/config.h"

namespace CLI {
class App;
}

namespace spolia {

// Flags of a subcommand that works with the whole configuration: --config and one flag for every
// option.
class ConfigFlags {
public:
    // The object must stay where it is until the arguments are parsed.
    void add_to(CLI::App& command);
    // What flags, environment, file and defaults come to.
    Result<Config> load() const;

private:
    std::string file_;
    std::vector<std::pair<std::string, std::string>> values_;
};

}  // namespace spolia
