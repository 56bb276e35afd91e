#include "broker/config.h"

#include "broker/config_file.h"
#include "broker/request.h"

namespace spolia {
namespace {

bool gives_keys(const ConfigOption& option) {
    return option.key == "server.api_key" || option.key == "server.api_key_file";
}

// Applies the options of one source. Its keys and upstreams replace those of the sources below.
class Layer {
public:
    explicit Layer(Config& config) : config_(config) {}

    Status set(const ConfigOption& option, std::string_view value, std::string_view origin) {
        if (gives_keys(option) && !keys_replaced_) {
            config_.server.keys.clear();
            keys_replaced_ = true;
        }
        if (option.key == "upstream.urls" && !urls_replaced_) {
            config_.upstream.urls.clear();
            urls_replaced_ = true;
        }
        Status status = option.set(config_, value);
        if (status.ok()) return status;
        return Error{status.error().code, std::string(origin) + ": " + status.error().message};
    }

private:
    Config& config_;
    bool keys_replaced_ = false;
    bool urls_replaced_ = false;
};

Status apply_environment(Config& config, const std::function<const char*(const char*)>& get) {
    if (!get) return {};
    Layer layer(config);
    for (const ConfigOption& option : config_options()) {
        const char* value = get(std::string(option.env).c_str());
        if (value == nullptr || *value == '\0') continue;
        if (Status status = layer.set(option, value, option.env); !status.ok()) return status;
    }
    return {};
}

Status apply_flags(Config& config, const ConfigSources& sources) {
    Layer layer(config);
    for (const auto& [key, value] : sources.flags) {
        const ConfigOption* option = find_config_option(key);
        if (option == nullptr) return invalid("there is no setting " + key);
        if (Status status = layer.set(*option, value, option->flag); !status.ok()) return status;
    }
    return {};
}

Status check_together(const Config& config) {
    const ChunkerOptions& chunker = config.reuse.chunker;
    if (chunker.tokens_min > chunker.tokens_max) {
        return invalid("the shortest chunk (" + std::to_string(chunker.tokens_min) +
                       " tokens) is longer than the longest (" +
                       std::to_string(chunker.tokens_max) +
                       "): lower reuse.chunk_tokens_min or raise reuse.chunk_tokens_max");
    }
    if (config.upstream.kind == UpstreamKind::kLlamaServer && config.upstream.urls.size() > 1) {
        return invalid(
            "--upstream-kind llama-server is for one upstream, not " +
            std::to_string(config.upstream.urls.size()) +
            ": start one spolia for each, or give --upstream-kind openai, which only forwards");
    }
    const Status embedder = check_embedder_choice(config.embedding);
    if (embedder.ok()) return {};
    return Error{
        embedder.error().code,
        embedder.error().message +
            " (--embedding-model, --embedding-url, --embedding-name, --embedding-key-env)"};
}

}  // namespace

Result<Config> load_config(const ConfigSources& sources) {
    Config config;
    if (!sources.file.empty()) {
        if (Status status = apply_config_file(config, sources.file); !status.ok()) {
            return status.error();
        }
    }
    if (Status status = apply_environment(config, sources.environment); !status.ok()) {
        return status.error();
    }
    if (Status status = apply_flags(config, sources); !status.ok()) return status.error();
    if (Status status = check_together(config); !status.ok()) return status.error();
    return config;
}

Status check_exposure(const ServerConfig& config) {
    const std::string_view host = config.host;
    const bool loopback_net =
        host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
    const bool local = host == "localhost" || host == "::1" || loopback_net;
    if (local || config.allow_open || !config.keys.empty()) return {};
    return invalid("listening on " + config.host +
                   " lets other machines in: give API keys (--api-key-file), or --allow-open to "
                   "let everybody in");
}

}  // namespace spolia
