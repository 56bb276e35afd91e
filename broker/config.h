#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anchors/anchor_pool.h"
#include "broker/guard/sample.h"
#include "broker/log.h"
#include "broker/rag/embedder_choice.h"
#include "broker/request.h"
#include "index/chunker.h"
#include "index/result.h"

namespace spolia {

// A bearer key and whose cache it opens.
struct ApiKey {
    std::string key;
    std::string tenant;  // empty: the only tenant
};

struct ModelConfig {
    std::filesystem::path path;  // a GGUF file
    std::string alias;           // the name that clients use; empty: the model's own
    int32_t n_ctx = 4096;        // rows of each sequence; 0: as many as the model was trained for
    int32_t n_sequences = 4;     // generations at a time
    int32_t n_threads = 0;       // 0: one a core
    int32_t n_gpu_layers = 0;
    int32_t n_ubatch = 512;  // rows computed at once
};

struct ServerConfig {
    std::string host = "127.0.0.1";
    uint16_t port = 8080;           // 0: any free one
    std::vector<ApiKey> keys;       // empty: everybody may, as the only tenant
    bool allow_open = false;        // listen beyond this machine without keys
    std::string cors_origin = "*";  // empty: no CORS headers
    int32_t n_threads = 4;
    int32_t connections_max = 256;
    uint64_t header_bytes_max = uint64_t{16} << 10;
    uint64_t body_bytes_max = uint64_t{32} << 20;
    int32_t json_depth_max = 64;
    int32_t header_timeout_ms = 10'000;  // from a request's first byte to the end of its header
    int32_t body_timeout_ms = 120'000;   // for the whole body
    int32_t idle_timeout_ms = 60'000;    // between requests on a kept connection
    int32_t write_timeout_ms = 30'000;   // for one write that the client does not take
    // Text that waits for a client to read it; a client further behind loses its request.
    uint64_t stream_queue_bytes_max = uint64_t{1} << 20;
    int32_t stop_grace_ms = 10'000;  // for running requests, once told to stop
};

enum class UpstreamKind : uint8_t { kAuto, kLlamaServer, kOpenai };

// Servers that requests are forwarded to.
struct UpstreamConfig {
    std::vector<std::string> urls;  // empty: none
    UpstreamKind kind = UpstreamKind::kAuto;
    std::string key;  // sent as a bearer key; empty: none
    // Of slots of a llama-server: its --slot-save-path.
    std::filesystem::path slot_directory = "/dev/shm/spolia";
    std::filesystem::path ca_file;        // PEM, for https; empty: the system's
    int32_t connect_timeout_ms = 5'000;   // with TLS's handshake
    int32_t header_timeout_ms = 600'000;  // from a sent request to the response's header
    int32_t idle_timeout_ms = 600'000;    // without a byte of a body going on
    int32_t connections_idle_max = 64;    // kept for later requests, each upstream

    // Of upstreams of kind openai.
    std::optional<bool> affinity;  // nullopt: where there are several
    bool stable_tools = false;
    bool document_order = false;
    bool cache_salt = false;
    std::string salt_secret;
    std::string separator;  // between parts of messages; empty: none
    bool strip_spolia = true;
    bool warm_up = false;
    int32_t health_interval_ms = 5'000;  // 0: upstreams are not asked how they are
};

struct CacheConfig {
    std::filesystem::path directory;  // empty: no disk tier
    uint64_t ram_bytes_max = uint64_t{2} << 30;
    uint64_t disk_bytes_max = uint64_t{16} << 30;
    uint64_t anchor_bytes_max = AnchorPoolOptions().bytes_max;  // of those above
};

struct ReuseConfig {
    Fidelity fidelity = Fidelity::kGuarded;
    std::string policy = std::string(kAutoPolicy);
    double recompute_ratio = 0.15;  // (0, 1]
    int32_t head_rows = 16;         // policy "epic"
    GuardBudget budget;             // fidelity "guarded"
    double shadow_share = 0.05;     // see ServiceOptions
    double shadow_time = 0.1;
    ChunkerOptions chunker;
    bool donors = true;         // edited chunks take what is equal from versions that are known
    bool by_cost = true;        // what looks slower than computing is not reused
    bool encode_seen = true;    // chunks seen in prompts are encoded in idle time
    bool capture_pages = true;  // exact prefixes are kept beyond their sequence
    // What requests of an agent (spolia.agent) take for fields they leave out, by its name.
    std::map<std::string, ReuseOptions> agents;
};

struct LimitsConfig {
    int32_t queue_max = 64;          // requests that wait for a sequence
    int32_t encode_queue_max = 256;  // chunks that wait to be encoded
};

struct LogConfig {
    LogFormat format = LogFormat::kText;
    LogLevel level = LogLevel::kInfo;
};

struct Config {
    ModelConfig model;
    ServerConfig server;
    UpstreamConfig upstream;
    CacheConfig cache;
    ReuseConfig reuse;
    EmbedderChoice embedding;
    LimitsConfig limits;
    LogConfig log;
};

// One setting. The same table serves flags, environment and TOML file, so that none can lack one.
struct ConfigOption {
    std::string_view key;    // section.name in the TOML file: "server.port"
    std::string_view flag;   // "--port"; empty for secrets, which other users' ps would show
    std::string_view env;    // "SPOLIA_PORT"
    std::string_view value;  // how help calls the value: "N"; empty: a switch
    std::string_view help;
    // Bytes take suffixes K, M, G, T (powers of 1024). The error says what is expected.
    Status (*set)(Config& config, std::string_view text);
};
std::span<const ConfigOption> config_options();
// The option of that key; null when there is none.
const ConfigOption* find_config_option(std::string_view key);

// Where settings come from: flags > environment > file > defaults.
struct ConfigSources {
    std::vector<std::pair<std::string, std::string>> flags;  // option key -> value, in their order
    std::function<const char*(const char*)> environment;     // like getenv; may be empty
    std::filesystem::path file;                              // TOML; empty: none
};

// Fails on a value out of range, an unknown key of the file (with its line), and a file that can't
// be read. Besides the options the file may hold [[server.keys]] {key, tenant} and
// [reuse.agents.NAME] {fidelity, policy, recompute_ratio, head_rows, max_kl,
// min_agreement}.
Result<Config> load_config(const ConfigSources& sources);

// Whether the server may listen on config.host: beyond this machine only with keys or allow_open.
Status check_exposure(const ServerConfig& config);

}  // namespace spolia
