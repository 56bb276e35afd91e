#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/config.h"

namespace CLI {
class App;
}

namespace spolia {

// Flags of a subcommand that works with the configuration: --config and one flag for every option.
class ConfigFlags {
public:
    // The object must stay where it is until the arguments are parsed.
    void add_to(CLI::App& command);
    // The same for a command that wants some options only: those whose key begins so.
    void add_to(CLI::App& command, std::span<const std::string_view> key_beginnings);
    // What flags, environment, file and defaults come to.
    Result<Config> load() const;

private:
    std::string file_;
    std::vector<std::pair<std::string, std::string>> values_;
};

}  // namespace spolia
