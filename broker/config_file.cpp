#include "broker/config_file.h"

#include <fstream>
#include <iterator>
#include <sstream>

#include <toml++/toml.h>

#include "broker/config_values.h"
#include "reuse/selector.h"

namespace spolia {
namespace {

// Errors with the place in the file that they are about.
class Place {
public:
    explicit Place(const std::filesystem::path& path) : path_(path) {}

    Error error(const toml::node& node, std::string_view message) const {
        return error(node.source().begin.line, message);
    }
    Error error(uint64_t line, std::string_view message) const {
        return Error{ErrorCode::kInvalidArgument,
                     path_.string() + ":" + std::to_string(line) + ": " + std::string(message)};
    }

private:
    const std::filesystem::path& path_;
};

// The value as a flag would give it; nullopt for tables, arrays and dates.
std::optional<std::string> scalar_text(const toml::node& node) {
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* number = node.as_integer()) return std::to_string(number->get());
    if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
    if (const auto* number = node.as_floating_point()) {
        std::ostringstream text;
        text << number->get();
        return text.str();
    }
    return std::nullopt;
}

Status apply_keys(ServerConfig& server, const toml::node& node, const Place& place) {
    const toml::array* entries = node.as_array();
    if (entries == nullptr) return place.error(node, "server.keys: expected an array of tables");
    for (const toml::node& entry : *entries) {
        const toml::table* table = entry.as_table();
        if (table == nullptr) return place.error(entry, "server.keys: expected {key, tenant}");
        std::string key;
        std::string tenant;
        for (const auto& [name, value] : *table) {
            const bool known = name == "key" || name == "tenant";
            if (!known || !value.is_string()) {
                return place.error(value, "server.keys: " + std::string(name.str()) +
                                              ": expected key and tenant, both texts");
            }
            (name == "key" ? key : tenant) = value.as_string()->get();
        }
        if (Status status = add_api_key(server, key, tenant); !status.ok()) {
            return place.error(entry, "server.keys: " + status.error().message);
        }
    }
    return {};
}

// Settings of one agent: checked and read as those of [reuse] are.
Status apply_agent(ReuseOptions& agent, const toml::table& table, const Place& place) {
    for (const auto& [name, value] : table) {
        const std::string_view key = name.str();
        const std::optional<std::string> text = scalar_text(value);
        const bool known = key == "fidelity" || key == "policy" || key == "recompute_ratio" ||
                           key == "head_rows" || key == "max_kl" || key == "min_agreement";
        if (!known || !text) {
            return place.error(value, "unknown setting of an agent: " + std::string(key) +
                                          "; there are fidelity, policy, recompute_ratio, "
                                          "head_rows, max_kl, min_agreement");
        }
        Config scratch;
        const Status status = find_config_option("reuse." + std::string(key))->set(scratch, *text);
        if (!status.ok()) return place.error(value, status.error().message);
        if (key == "fidelity") agent.fidelity = scratch.reuse.fidelity;
        if (key == "policy") agent.policy = scratch.reuse.policy;
        if (key == "recompute_ratio") agent.recompute_ratio = scratch.reuse.recompute_ratio;
        if (key == "head_rows") agent.head_rows = scratch.reuse.head_rows;
        if (key == "max_kl") agent.max_kl = scratch.reuse.budget.max_kl;
        if (key == "min_agreement") agent.min_agreement = scratch.reuse.budget.min_agreement;
    }
    return {};
}

Status apply_agents(ReuseConfig& reuse, const toml::node& node, const Place& place) {
    const toml::table* agents = node.as_table();
    if (agents == nullptr) return place.error(node, "reuse.agents: expected tables");
    for (const auto& [name, value] : *agents) {
        const toml::table* table = value.as_table();
        if (table == nullptr) return place.error(value, "reuse.agents: expected a table");
        ReuseOptions& agent = reuse.agents[std::string(name.str())];
        agent.agent = name.str();
        if (Status status = apply_agent(agent, *table, place); !status.ok()) return status;
    }
    return {};
}

Status apply_section(Config& config, std::string_view section, const toml::table& table,
                     const Place& place) {
    for (const auto& [name, value] : table) {
        const std::string key = std::string(section) + "." + std::string(name.str());
        Status status;
        if (key == "server.keys") {
            status = apply_keys(config.server, value, place);
        } else if (key == "reuse.agents") {
            status = apply_agents(config.reuse, value, place);
        } else {
            const ConfigOption* option = find_config_option(key);
            if (option == nullptr) return place.error(value, "unknown setting " + key);
            const std::optional<std::string> text = scalar_text(value);
            if (!text) return place.error(value, key + ": expected a single value");
            status = option->set(config, *text);
            if (!status.ok()) return place.error(value, key + ": " + status.error().message);
        }
        if (!status.ok()) return status;
    }
    return {};
}

bool is_section(std::string_view name) {
    for (const ConfigOption& option : config_options()) {
        if (option.key.substr(0, option.key.find('.')) == name) return true;
    }
    return false;
}

}  // namespace

Status apply_config_file(Config& config, const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        return Error{ErrorCode::kIo, "can't read the configuration " + path.string()};
    }
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const Place place(path);
    try {
        const toml::table root = toml::parse(std::string_view(text), path.string());
        for (const auto& [name, value] : root) {
            const toml::table* table = value.as_table();
            if (table == nullptr || !is_section(name.str())) {
                return place.error(value, "unknown section " + std::string(name.str()));
            }
            if (Status status = apply_section(config, name.str(), *table, place); !status.ok()) {
                return status;
            }
        }
    } catch (const toml::parse_error& error) {
        return place.error(error.source().begin.line, error.description());
    }
    return {};
}

}  // namespace spolia
