#include <algorithm>
#include <iterator>

#include "broker/config.h"
#include "broker/config_values.h"
#include "broker/request.h"

namespace spolia {
namespace {

using C = Config&;
using V = std::string_view;

constexpr ConfigOption kOptions[] = {
    {"model.path", "--model", "SPOLIA_MODEL", "FILE",
     "the model, a GGUF file; else the sample model",
     [](C c, V v) { return set_text(c.model.path, v); }},
    {"model.alias", "--alias", "SPOLIA_ALIAS", "NAME", "the model's name for clients",
     [](C c, V v) { return set_text(c.model.alias, v); }},
    {"model.ctx_size", "--ctx-size", "SPOLIA_CTX_SIZE", "N",
     "tokens of each sequence; 0: as trained",
     [](C c, V v) { return set_natural(c.model.n_ctx, v); }},
    {"model.parallel", "--parallel", "SPOLIA_PARALLEL", "N", "generations at a time",
     [](C c, V v) { return set_integer<int32_t>(c.model.n_sequences, v, 1, 256); }},
    {"model.threads", "--threads", "SPOLIA_THREADS", "N", "engine threads; 0: one a core",
     [](C c, V v) { return set_integer<int32_t>(c.model.n_threads, v, 0, 1024); }},
    {"model.gpu_layers", "--gpu-layers", "SPOLIA_GPU_LAYERS", "N", "layers to put on the GPU",
     [](C c, V v) { return set_natural(c.model.n_gpu_layers, v); }},
    {"model.ubatch", "--ubatch", "SPOLIA_UBATCH", "N", "tokens computed at once",
     [](C c, V v) { return set_integer<int32_t>(c.model.n_ubatch, v, 8, 1 << 16); }},

    {"server.host", "--host", "SPOLIA_HOST", "ADDRESS", "address to listen on",
     [](C c, V v) { return set_text(c.server.host, v); }},
    {"server.port", "--port", "SPOLIA_PORT", "N", "port to listen on; 0: any free one",
     [](C c, V v) { return set_integer<uint16_t>(c.server.port, v, 0, 65535); }},
    {"server.api_key", "--api-key", "SPOLIA_API_KEY", "[TENANT:]KEY[,...]",
     "bearer keys that clients must show, each with its tenant",
     [](C c, V v) { return add_keys(c.server, v); }},
    {"server.api_key_file", "--api-key-file", "SPOLIA_API_KEY_FILE", "FILE",
     "the same, one a line; lines with # are skipped",
     [](C c, V v) { return add_key_file(c.server, v); }},
    {"server.allow_open", "--allow-open", "SPOLIA_ALLOW_OPEN", "",
     "listen beyond this machine without keys",
     [](C c, V v) { return set_switch(c.server.allow_open, v); }},
    {"server.cors_origin", "--cors-origin", "SPOLIA_CORS_ORIGIN", "ORIGIN",
     "web pages that may call; * is any, empty is none",
     [](C c, V v) { return set_text(c.server.cors_origin, v); }},
    {"server.threads", "--http-threads", "SPOLIA_HTTP_THREADS", "N", "threads that serve HTTP",
     [](C c, V v) { return set_integer<int32_t>(c.server.n_threads, v, 1, 256); }},
    {"server.connections_max", "--connections-max", "SPOLIA_CONNECTIONS_MAX", "N",
     "connections at a time", [](C c, V v) { return set_positive(c.server.connections_max, v); }},
    {"server.header_bytes_max", "--header-max", "SPOLIA_HEADER_MAX", "BYTES",
     "longest request header", [](C c, V v) { return set_bytes(c.server.header_bytes_max, v); }},
    {"server.body_bytes_max", "--body-max", "SPOLIA_BODY_MAX", "BYTES", "longest request body",
     [](C c, V v) { return set_bytes(c.server.body_bytes_max, v); }},
    {"server.json_depth_max", "--json-depth-max", "SPOLIA_JSON_DEPTH_MAX", "N",
     "deepest nesting of a request's JSON",
     [](C c, V v) { return set_integer<int32_t>(c.server.json_depth_max, v, 8, 512); }},
    {"server.header_timeout_ms", "--header-timeout", "SPOLIA_HEADER_TIMEOUT", "MS",
     "time for a request's header",
     [](C c, V v) { return set_milliseconds(c.server.header_timeout_ms, v); }},
    {"server.body_timeout_ms", "--body-timeout", "SPOLIA_BODY_TIMEOUT", "MS",
     "time for a request's body; where it is streamed, for each piece",
     [](C c, V v) { return set_milliseconds(c.server.body_timeout_ms, v); }},
    {"server.idle_timeout_ms", "--idle-timeout", "SPOLIA_IDLE_TIMEOUT", "MS",
     "time between requests of a connection",
     [](C c, V v) { return set_milliseconds(c.server.idle_timeout_ms, v); }},
    {"server.write_timeout_ms", "--write-timeout", "SPOLIA_WRITE_TIMEOUT", "MS",
     "time for a client to take what is written",
     [](C c, V v) { return set_milliseconds(c.server.write_timeout_ms, v); }},
    {"server.stream_queue_bytes_max", "--stream-queue-max", "SPOLIA_STREAM_QUEUE_MAX", "BYTES",
     "text that may wait for a client to read it",
     [](C c, V v) { return set_bytes(c.server.stream_queue_bytes_max, v); }},
    {"server.stop_grace_ms", "--stop-grace", "SPOLIA_STOP_GRACE", "MS",
     "time that running requests get at the end",
     [](C c, V v) { return set_integer<int32_t>(c.server.stop_grace_ms, v, 0, kDayMs); }},

    {"upstream.urls", "--upstream", "SPOLIA_UPSTREAM", "URL[,URL...]",
     "servers to stand in front of, http or https; a llama-server's model is loaded here, too",
     [](C c, V v) { return add_urls(c.upstream, v); }},
    {"upstream.kind", "--upstream-kind", "SPOLIA_UPSTREAM_KIND", "KIND",
     "what they are: auto | llama-server | openai",
     [](C c, V v) { return set_upstream_kind(c.upstream.kind, v); }},
    {"upstream.key", "", "SPOLIA_UPSTREAM_KEY", "KEY", "bearer key to send to upstreams",
     [](C c, V v) { return set_upstream_key(c.upstream, v); }},
    {"upstream.key_file", "--upstream-key-file", "SPOLIA_UPSTREAM_KEY_FILE", "FILE",
     "file whose first line is the bearer key to send to upstreams",
     [](C c, V v) { return read_upstream_key(c.upstream, v); }},
    {"upstream.slot_dir", "--slot-dir", "SPOLIA_SLOT_DIR", "DIR",
     "folder that prompts are handed to a llama-server in, its --slot-save-path",
     [](C c, V v) { return set_text(c.upstream.slot_directory, v); }},
    {"upstream.ca_file", "--upstream-ca", "SPOLIA_UPSTREAM_CA", "FILE",
     "certificates that upstreams' are checked with, PEM; else the system's",
     [](C c, V v) { return set_text(c.upstream.ca_file, v); }},
    {"upstream.connect_timeout_ms", "--upstream-connect-timeout", "SPOLIA_UPSTREAM_CONNECT_TIMEOUT",
     "MS", "time to reach an upstream",
     [](C c, V v) { return set_milliseconds(c.upstream.connect_timeout_ms, v); }},
    {"upstream.header_timeout_ms", "--upstream-header-timeout", "SPOLIA_UPSTREAM_HEADER_TIMEOUT",
     "MS", "time for an upstream to begin its answer",
     [](C c, V v) { return set_milliseconds(c.upstream.header_timeout_ms, v); }},
    {"upstream.idle_timeout_ms", "--upstream-idle-timeout", "SPOLIA_UPSTREAM_IDLE_TIMEOUT", "MS",
     "time between two pieces of an upstream's answer",
     [](C c, V v) { return set_milliseconds(c.upstream.idle_timeout_ms, v); }},
    {"upstream.connections_idle_max", "--upstream-idle-max", "SPOLIA_UPSTREAM_IDLE_MAX", "N",
     "connections to keep for later, each upstream",
     [](C c, V v) { return set_integer<int32_t>(c.upstream.connections_idle_max, v, 0, 65536); }},

    {"upstream.affinity", "--upstream-affinity", "SPOLIA_UPSTREAM_AFFINITY", "auto|on|off",
     "prompts that begin alike go to one upstream; auto: where there are several",
     [](C c, V v) { return set_affinity(c.upstream.affinity, v); }},
    {"upstream.stable_tools", "--upstream-stable-tools", "SPOLIA_UPSTREAM_STABLE_TOOLS", "BOOL",
     "sort tools by name, and the keys of their JSON",
     [](C c, V v) { return set_switch(c.upstream.stable_tools, v); }},
    {"upstream.document_order", "--upstream-document-order", "SPOLIA_UPSTREAM_DOCUMENT_ORDER",
     "BOOL", "sort documents of requests that allow it, so that prompts share prefixes",
     [](C c, V v) { return set_switch(c.upstream.document_order, v); }},
    {"upstream.cache_salt", "--upstream-cache-salt", "SPOLIA_UPSTREAM_CACHE_SALT", "BOOL",
     "give requests a cache_salt of their tenant's",
     [](C c, V v) { return set_switch(c.upstream.cache_salt, v); }},
    {"upstream.salt_secret", "", "SPOLIA_UPSTREAM_SALT_SECRET", "TEXT",
     "what tenants' salts are made with, so that nobody can guess them",
     [](C c, V v) { return set_text(c.upstream.salt_secret, v); }},
    {"upstream.separator", "--upstream-separator", "SPOLIA_UPSTREAM_SEPARATOR", "TEXT",
     "text to put between the parts of messages: LMCache's blend_special_str",
     [](C c, V v) { return set_text(c.upstream.separator, v); }},
    {"upstream.strip_spolia", "--upstream-strip-spolia", "SPOLIA_UPSTREAM_STRIP_SPOLIA", "BOOL",
     "take the member spolia out of requests",
     [](C c, V v) { return set_switch(c.upstream.strip_spolia, v); }},
    {"upstream.warm_up", "--upstream-warm-up", "SPOLIA_UPSTREAM_WARM_UP", "BOOL",
     "PUT /v1/chunks makes an upstream read the text",
     [](C c, V v) { return set_switch(c.upstream.warm_up, v); }},
    {"upstream.health_interval_ms", "--upstream-health-interval",
     "SPOLIA_UPSTREAM_HEALTH_INTERVAL", "MS", "time between two health checks; 0: none",
     [](C c, V v) { return set_integer<int32_t>(c.upstream.health_interval_ms, v, 0, kDayMs); }},

    {"cache.directory", "--cache-dir", "SPOLIA_CACHE_DIR", "DIR",
     "where KV blocks and collections are kept on disk",
     [](C c, V v) { return set_text(c.cache.directory, v); }},
    {"cache.ram", "--cache-ram", "SPOLIA_CACHE_RAM", "BYTES", "KV blocks in memory",
     [](C c, V v) { return set_bytes(c.cache.ram_bytes_max, v); }},
    {"cache.disk", "--cache-disk", "SPOLIA_CACHE_DISK", "BYTES", "KV blocks on disk",
     [](C c, V v) { return set_bytes(c.cache.disk_bytes_max, v); }},

    {"cache.anchors", "--cache-anchors", "SPOLIA_CACHE_ANCHORS", "BYTES",
     "KV blocks kept with what stood in front of them",
     [](C c, V v) { return set_bytes(c.cache.anchor_bytes_max, v); }},

    {"reuse.fidelity", "--fidelity", "SPOLIA_FIDELITY", "LEVEL", "exact | guarded | fast",
     [](C c, V v) { return set_fidelity(c.reuse.fidelity, v); }},
    {"reuse.policy", "--policy", "SPOLIA_POLICY", "NAME",
     "which reused tokens are recomputed; auto: adaptive once calibrated; anchors: for agents",
     [](C c, V v) { return set_policy(c.reuse.policy, v); }},
    {"reuse.recompute_ratio", "--recompute-ratio", "SPOLIA_RECOMPUTE_RATIO", "R",
     "share of reused tokens that is recomputed",
     [](C c, V v) { return set_ratio(c.reuse.recompute_ratio, v); }},
    {"reuse.head_rows", "--head-rows", "SPOLIA_HEAD_ROWS", "N",
     "policy epic: tokens recomputed at each chunk's head",
     [](C c, V v) { return set_natural(c.reuse.head_rows, v); }},
    {"reuse.max_kl", "--max-kl", "SPOLIA_MAX_KL", "NATS",
     "fidelity guarded: KL of the first token, kept by 99 % of requests",
     [](C c, V v) { return set_number(c.reuse.budget.max_kl, v, 0, 100); }},
    {"reuse.min_agreement", "--min-agreement", "SPOLIA_MIN_AGREEMENT", "SHARE",
     "fidelity guarded: requests with the same likeliest first token",
     [](C c, V v) { return set_number(c.reuse.budget.min_agreement, v, 0, 1); }},
    {"reuse.shadow_share", "--shadow-share", "SPOLIA_SHADOW_SHARE", "SHARE",
     "guarded requests that are computed again to compare",
     [](C c, V v) { return set_number(c.reuse.shadow_share, v, 0, 1); }},
    {"reuse.shadow_time", "--shadow-time", "SPOLIA_SHADOW_TIME", "SHARE",
     "time that comparing may take; 0: the guard learns nothing",
     [](C c, V v) { return set_number(c.reuse.shadow_time, v, 0, 1); }},
    {"reuse.chunk_tokens_min", "--chunk-min", "SPOLIA_CHUNK_MIN", "N", "shortest chunk, in tokens",
     [](C c, V v) { return set_positive(c.reuse.chunker.tokens_min, v); }},
    {"reuse.chunk_tokens_max", "--chunk-max", "SPOLIA_CHUNK_MAX", "N", "longest chunk, in tokens",
     [](C c, V v) { return set_positive(c.reuse.chunker.tokens_max, v); }},

    {"reuse.donors", "--donors", "SPOLIA_DONORS", "BOOL",
     "edited chunks reuse what they share with versions that are known",
     [](C c, V v) { return set_switch(c.reuse.donors, v); }},
    {"reuse.by_cost", "--reuse-by-cost", "SPOLIA_REUSE_BY_COST", "BOOL",
     "compute what reuse looks too slow for; false: reuse whatever is at hand",
     [](C c, V v) { return set_switch(c.reuse.by_cost, v); }},
    {"reuse.encode_seen", "--encode-seen", "SPOLIA_ENCODE_SEEN", "BOOL",
     "encode chunks seen in prompts; false: registered ones only",
     [](C c, V v) { return set_switch(c.reuse.encode_seen, v); }},
    {"reuse.capture_pages", "--capture-pages", "SPOLIA_CAPTURE_PAGES", "BOOL",
     "keep exact prefixes beyond their sequence",
     [](C c, V v) { return set_switch(c.reuse.capture_pages, v); }},

    {"embedding.model", "--embedding-model", "SPOLIA_EMBEDDING_MODEL", "FILE",
     "embeds the text of collections: a GGUF file; else counts of words, without a model",
     [](C c, V v) { return set_text(c.embedding.model, v); }},
    {"embedding.url", "--embedding-url", "SPOLIA_EMBEDDING_URL", "URL",
     "the same: an OpenAI-compatible server, http://HOST:PORT/v1",
     [](C c, V v) { return set_text(c.embedding.url, v); }},
    {"embedding.name", "--embedding-name", "SPOLIA_EMBEDDING_NAME", "NAME", "the server's model",
     [](C c, V v) { return set_text(c.embedding.name, v); }},
    {"embedding.key_env", "--embedding-key-env", "SPOLIA_EMBEDDING_KEY_ENV", "VAR",
     "the environment variable that holds the server's key",
     [](C c, V v) { return set_text(c.embedding.key_env, v); }},
    {"embedding.threads", "--embedding-threads", "SPOLIA_EMBEDDING_THREADS", "N",
     "threads of the embedding model; 0: one a core to ingest, one to serve",
     [](C c, V v) { return set_integer<int32_t>(c.embedding.n_threads, v, 0, 1024); }},
    {"embedding.gpu_layers", "--embedding-gpu-layers", "SPOLIA_EMBEDDING_GPU_LAYERS", "N",
     "layers of the embedding model to put on the GPU",
     [](C c, V v) { return set_natural(c.embedding.n_gpu_layers, v); }},

    {"limits.queue_max", "--queue-max", "SPOLIA_QUEUE_MAX", "N", "requests that may wait",
     [](C c, V v) { return set_positive(c.limits.queue_max, v); }},
    {"limits.encode_queue_max", "--encode-queue-max", "SPOLIA_ENCODE_QUEUE_MAX", "N",
     "chunks seen in prompts that wait to be encoded",
     [](C c, V v) { return set_positive(c.limits.encode_queue_max, v); }},

    {"log.format", "--log-format", "SPOLIA_LOG_FORMAT", "FORMAT", "text | json",
     [](C c, V v) -> Status {
         const std::optional<LogFormat> value = log_format_from(v);
         if (!value) return invalid("expected text or json, got '" + std::string(v) + "'");
         c.log.format = *value;
         return {};
     }},
    {"log.level", "--log-level", "SPOLIA_LOG_LEVEL", "LEVEL",
     "debug | info | warning | error | off",
     [](C c, V v) -> Status {
         const std::optional<LogLevel> value = log_level_from(v);
         if (!value) {
             return invalid("expected debug, info, warning, error or off, got '" + std::string(v) +
                            "'");
         }
         c.log.level = *value;
         return {};
     }},
};

}  // namespace

std::span<const ConfigOption> config_options() { return kOptions; }

const ConfigOption* find_config_option(std::string_view key) {
    const auto found = std::find_if(std::begin(kOptions), std::end(kOptions),
                                    [&](const ConfigOption& option) { return option.key == key; });
    return found == std::end(kOptions) ? nullptr : &*found;
}

}  // namespace spolia
