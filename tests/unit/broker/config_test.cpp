#include "broker/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace spolia {
namespace {

class ConfigTest : public ::testing::Test {
protected:
    void SetUp() override {
        directory_ = std::filesystem::path(::testing::TempDir()) /
                     ("config_" +
                      std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
        std::filesystem::create_directories(directory_);
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    std::filesystem::path write(const std::string& text, const char* name = "spolia.toml") {
        std::ofstream(directory_ / name) << text;
        return directory_ / name;
    }

    Result<Config> from_file(const std::string& text) {
        ConfigSources sources;
        sources.file = write(text);
        return load_config(sources);
    }

    static Result<Config> from_flags(std::vector<std::pair<std::string, std::string>> flags) {
        ConfigSources sources;
        sources.flags = std::move(flags);
        return load_config(sources);
    }

    void expect_error_at(const std::string& text, int line, const std::string& words) {
        const Result<Config> config = from_file(text);
        ASSERT_FALSE(config.ok()) << text;
        const std::string& message = config.error().message;
        EXPECT_NE(message.find("spolia.toml:" + std::to_string(line) + ": "), std::string::npos)
            << message;
        EXPECT_NE(message.find(words), std::string::npos) << message;
    }

    std::filesystem::path directory_;
};

TEST_F(ConfigTest, ReadsWhatIsDoneToRequestsOnTheirWay) {
    const Result<Config> config = from_file(
        "[upstream]\nurls = \"http://a:1,http://b:2\"\naffinity = \"off\"\n"
        "stable_tools = true\nseparator = \" # # \"\nhealth_interval_ms = 0\n");
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->upstream.affinity, false);
    EXPECT_TRUE(config->upstream.stable_tools);
    EXPECT_TRUE(config->upstream.strip_spolia);
    EXPECT_EQ(config->upstream.separator, " # # ");
    EXPECT_EQ(config->upstream.health_interval_ms, 0);
    expect_error_at("[upstream]\naffinity = \"maybe\"\n", 2, "expected auto, on or off");
}

TEST_F(ConfigTest, DefaultsStandAlone) {
    const Result<Config> config = load_config({});
    ASSERT_TRUE(config.ok());
    EXPECT_EQ(config->server.host, "127.0.0.1");
    EXPECT_TRUE(config->server.keys.empty());
    EXPECT_EQ(config->reuse.policy, "auto");
}

TEST_F(ConfigTest, FlagsBeatEnvironmentBeatsFileBeatsDefaults) {
    std::map<std::string, std::string> environment = {{"SPOLIA_PORT", "2"},
                                                      {"SPOLIA_CTX_SIZE", "222"}};
    ConfigSources sources;
    sources.file = write("[server]\nport = 1\nthreads = 11\n[model]\nctx_size = 111\n");
    sources.environment = [&](const char* name) -> const char* {
        const auto found = environment.find(name);
        return found == environment.end() ? nullptr : found->second.c_str();
    };
    sources.flags = {{"server.port", "3"}};
    const Result<Config> config = load_config(sources);
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->server.port, 3);
    EXPECT_EQ(config->model.n_ctx, 222);
    EXPECT_EQ(config->server.n_threads, 11);
    EXPECT_EQ(config->model.n_sequences, ModelConfig().n_sequences);
}

TEST_F(ConfigTest, ReadsAWholeFile) {
    const Result<Config> config = from_file(R"(
[model]
path = "m.gguf"
[server]
host = "0.0.0.0"
allow_open = true
body_bytes_max = "1M"
keys = [{key = "k1", tenant = "a"}, {key = "k2"}]
[cache]
directory = "/var/kv"
ram = "2G"
[reuse]
fidelity = "fast"
recompute_ratio = 0.25
max_kl = 0.02
min_agreement = 0.995
shadow_share = 0.5
shadow_time = 0
chunk_tokens_min = 16
[reuse.agents.planner]
policy = "epic"
head_rows = 4
fidelity = "exact"
max_kl = 0.5
min_agreement = 0.9
[log]
format = "json"
)");
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->model.path, "m.gguf");
    EXPECT_TRUE(config->server.allow_open);
    EXPECT_EQ(config->server.body_bytes_max, uint64_t{1} << 20);
    ASSERT_EQ(config->server.keys.size(), 2u);
    EXPECT_EQ(config->server.keys[0].key, "k1");
    EXPECT_EQ(config->server.keys[0].tenant, "a");
    EXPECT_EQ(config->server.keys[1].tenant, "");
    EXPECT_EQ(config->cache.ram_bytes_max, uint64_t{2} << 30);
    EXPECT_EQ(config->reuse.fidelity, Fidelity::kFast);
    EXPECT_DOUBLE_EQ(config->reuse.recompute_ratio, 0.25);
    EXPECT_EQ(config->reuse.chunker.tokens_min, 16);
    const ReuseOptions& planner = config->reuse.agents.at("planner");
    EXPECT_EQ(planner.policy, "epic");
    EXPECT_EQ(planner.head_rows, 4);
    EXPECT_EQ(planner.fidelity, Fidelity::kExact);
    EXPECT_EQ(planner.max_kl, 0.5);
    EXPECT_EQ(planner.min_agreement, 0.9);
    EXPECT_FALSE(planner.recompute_ratio);
    EXPECT_EQ(config->reuse.budget.max_kl, 0.02);
    EXPECT_EQ(config->reuse.budget.min_agreement, 0.995);
    EXPECT_EQ(config->reuse.shadow_share, 0.5);
    EXPECT_EQ(config->reuse.shadow_time, 0);
    EXPECT_EQ(config->log.format, LogFormat::kJson);
}

TEST_F(ConfigTest, ChoosesAnEmbedder) {
    const Result<Config> config = from_file(R"(
[embedding]
url = "http://127.0.0.1:8081/v1"
name = "bge-m3"
key_env = "BGE_KEY"
threads = 2
)");
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->embedding.url, "http://127.0.0.1:8081/v1");
    EXPECT_EQ(config->embedding.name, "bge-m3");
    EXPECT_EQ(config->embedding.key_env, "BGE_KEY");
    EXPECT_EQ(config->embedding.n_threads, 2);
    const Result<Config> both =
        from_flags({{"embedding.model", "m.gguf"}, {"embedding.url", "http://127.0.0.1:8081/v1"}});
    ASSERT_FALSE(both.ok());
    EXPECT_NE(both.error().message.find("(--embedding-model, --embedding-url"), std::string::npos);
}

TEST_F(ConfigTest, ErrorsNameTheLine) {
    expect_error_at("[server]\n\nprot = 1\n", 3, "unknown setting server.prot");
    expect_error_at("[sever]\nport = 1\n", 1, "unknown section sever");
    expect_error_at("port = 1\n", 1, "unknown section port");
    expect_error_at("[server]\nport = 99999\n", 2, "from 0 to 65535");
    expect_error_at("[server]\nport = [1]\n", 2, "single value");
    expect_error_at("[server]\nport = \n", 2, "");
    expect_error_at("[server]\nkeys = [{kee = \"x\"}]\n", 2, "server.keys");
    expect_error_at("[server]\nkeys = [{tenant = \"x\"}]\n", 2, "server.keys");
    expect_error_at("[reuse.agents.a]\nspeed = 1\n", 2, "unknown setting of an agent");
    expect_error_at("[reuse.agents.a]\npolicy = \"magic\"\n", 2, "expected one of");
}

TEST_F(ConfigTest, AMissingFileIsAnError) {
    ConfigSources sources;
    sources.file = directory_ / "missing.toml";
    const Result<Config> config = load_config(sources);
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(config.error().code, ErrorCode::kIo);
}

TEST_F(ConfigTest, RefusesValuesOutOfRange) {
    const std::pair<const char*, const char*> cases[] = {
        {"server.port", "-1"},
        {"server.port", "80x"},
        {"server.port", ""},
        {"model.parallel", "0"},
        {"cache.ram", "5X"},
        {"cache.ram", "5GB"},
        {"cache.ram", "99999999999T"},
        {"reuse.recompute_ratio", "0"},
        {"reuse.recompute_ratio", "1.1"},
        {"reuse.recompute_ratio", "nan"},
        {"reuse.fidelity", "perfect"},
        {"reuse.max_kl", "-1"},
        {"reuse.min_agreement", "1.01"},
        {"reuse.shadow_share", "x"},
        {"reuse.shadow_time", "nan"},
        {"reuse.policy", "magic"},
        {"server.allow_open", "maybe"},
        {"log.level", "loud"},
        {"log.format", "xml"},
        {"no.such", "1"},
    };
    for (const auto& [key, value] : cases) {
        EXPECT_FALSE(from_flags({{key, value}}).ok()) << key << " = " << value;
    }
    EXPECT_FALSE(
        from_flags({{"reuse.chunk_tokens_min", "64"}, {"reuse.chunk_tokens_max", "32"}}).ok());
}

TEST_F(ConfigTest, ReadsBytes) {
    const std::pair<const char*, uint64_t> cases[] = {{"0", 0},
                                                      {"7", 7},
                                                      {"1K", 1024},
                                                      {"3M", 3u << 20},
                                                      {"2G", uint64_t{2} << 30},
                                                      {"1T", uint64_t{1} << 40}};
    for (const auto& [text, bytes] : cases) {
        const Result<Config> config = from_flags({{"cache.ram", text}});
        ASSERT_TRUE(config.ok()) << text;
        EXPECT_EQ(config->cache.ram_bytes_max, bytes);
    }
}

TEST_F(ConfigTest, KeysOfAHigherSourceReplaceThoseBelow) {
    ConfigSources sources;
    sources.file = write("[server]\nkeys = [{key = \"old\"}]\n");
    const std::filesystem::path key_file = write("# comment\n\nteam-a:one\r\ntwo\n", "keys");
    sources.flags = {{"server.api_key", "b:three,four"}, {"server.api_key_file", key_file}};
    const Result<Config> config = load_config(sources);
    ASSERT_TRUE(config.ok()) << config.error().message;
    std::map<std::string, std::string> keys;
    for (const ApiKey& key : config->server.keys) keys[key.key] = key.tenant;
    EXPECT_EQ(keys, (std::map<std::string, std::string>{
                        {"one", "team-a"}, {"two", ""}, {"three", "b"}, {"four", ""}}));
}

TEST_F(ConfigTest, ErrorsDoNotShowKeys) {
    for (const char* text : {"bad tenant:hunter2", "hunter2,", ":"}) {
        const Result<Config> config = from_flags({{"server.api_key", text}});
        ASSERT_FALSE(config.ok()) << text;
        EXPECT_EQ(config.error().message.find("hunter2"), std::string::npos)
            << config.error().message;
    }
}

TEST_F(ConfigTest, NothingIsListenedToFromAfarWithoutKeys) {
    ServerConfig config;
    for (const char* host : {"127.0.0.1", "localhost", "::1"}) {
        config.host = host;
        EXPECT_TRUE(check_exposure(config).ok()) << host;
    }
    for (const char* host : {"0.0.0.0", "::", "192.168.1.2", "example.org", "127.evil.org", ""}) {
        config.host = host;
        EXPECT_FALSE(check_exposure(config).ok()) << host;
    }
    config.host = "0.0.0.0";
    config.keys = {{"k", "t"}};
    EXPECT_TRUE(check_exposure(config).ok());
    config.keys.clear();
    config.allow_open = true;
    EXPECT_TRUE(check_exposure(config).ok());
}

TEST_F(ConfigTest, UpstreamsComeFromOneSource) {
    ConfigSources sources;
    sources.file = write("[upstream]\nurls = \"http://file:1\"\nkind = \"openai\"\n");
    ASSERT_TRUE(load_config(sources).ok());
    EXPECT_EQ(load_config(sources)->upstream.urls, std::vector<std::string>{"http://file:1"});
    sources.flags = {{"upstream.urls", "http://a:1,https://b/v1"}, {"upstream.urls", "http://c"}};
    const Result<Config> config = load_config(sources);
    ASSERT_TRUE(config.ok()) << config.error().message;
    const std::vector<std::string> urls = {"http://a:1", "https://b/v1", "http://c"};
    EXPECT_EQ(config->upstream.urls, urls);
    EXPECT_EQ(config->upstream.kind, UpstreamKind::kOpenai);
    for (const char* bad : {"", "http://a,", "a:1", "http://u:p@a"}) {
        EXPECT_FALSE(from_flags({{"upstream.urls", bad}}).ok()) << bad;
    }
    EXPECT_FALSE(from_flags({{"upstream.kind", "vllm"}}).ok());
}

TEST_F(ConfigTest, TheUpstreamsKeyIsReadFromAFileAndNeverShown) {
    const std::string file = write("secret\r\nmore\n", "key").string();
    const Result<Config> config = from_flags({{"upstream.key_file", file}});
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->upstream.key, "secret");
    const Result<Config> bad = from_flags({{"upstream.key", "se cret"}});
    ASSERT_FALSE(bad.ok());
    EXPECT_EQ(bad.error().message.find("cret"), std::string::npos);
    EXPECT_FALSE(from_flags({{"upstream.key_file", "/none"}}).ok());
}

TEST_F(ConfigTest, EveryOptionHasItsOwnNames) {
    std::set<std::string_view> keys, flags, variables;
    for (const ConfigOption& option : config_options()) {
        EXPECT_TRUE(keys.insert(option.key).second) << option.key;
        if (!option.flag.empty()) {
            EXPECT_TRUE(flags.insert(option.flag).second) << option.flag;
            EXPECT_EQ(option.flag.substr(0, 2), "--");
        }
        EXPECT_TRUE(variables.insert(option.env).second) << option.env;
        EXPECT_EQ(option.env.substr(0, 7), "SPOLIA_");
        EXPECT_NE(option.key.find('.'), std::string_view::npos);
        EXPECT_FALSE(option.help.empty());
    }
}

}  // namespace
}  // namespace spolia
