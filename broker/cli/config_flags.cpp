#include "broker/cli/config_flags.h"

#include <algorithm>
#include <cstdlib>

#include <CLI/CLI.hpp>

namespace spolia {
namespace {

// Sections of the help follow those of the file: "server.port" is one of the server's.
std::string group_of(const ConfigOption& option) {
    return "Options of [" + std::string(option.key.substr(0, option.key.find('.'))) + "]";
}

}  // namespace

void ConfigFlags::add_to(CLI::App& command) {
    const std::string_view all[] = {""};
    add_to(command, all);
}

void ConfigFlags::add_to(CLI::App& command, std::span<const std::string_view> key_beginnings) {
    command.add_option("--config", file_, "TOML file with settings [SPOLIA_CONFIG]")
        ->type_name("FILE");
    for (const ConfigOption& option : config_options()) {
        const auto begins = [&](std::string_view text) { return option.key.starts_with(text); };
        if (option.flag.empty() || std::ranges::none_of(key_beginnings, begins)) continue;
        const std::string key(option.key);
        const std::string flag(option.flag);
        const std::string help =
            std::string(option.help) + " [" + key + ", " + std::string(option.env) + "]";
        if (option.value.empty()) {
            command
                .add_flag_callback(
                    flag, [this, key] { values_.emplace_back(key, "true"); }, help)
                ->group(group_of(option));
            continue;
        }
        command
            .add_option_function<std::vector<std::string>>(
                flag,
                [this, key](const std::vector<std::string>& given) {
                    for (const std::string& value : given) values_.emplace_back(key, value);
                },
                help)
            ->type_name(std::string(option.value))
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
            ->group(group_of(option));
    }
}

Result<Config> ConfigFlags::load() const {
    ConfigSources sources;
    sources.flags = values_;
    sources.environment = [](const char* name) { return std::getenv(name); };
    sources.file = file_;
    if (const char* file = std::getenv("SPOLIA_CONFIG"); file_.empty() && file != nullptr) {
        sources.file = file;
    }
    return load_config(sources);
}

}  // namespace spolia
