#include "broker/config_values.h"

#include <cctype>
#include <fstream>
#include <limits>

#include "broker/http/url.h"
#include "broker/request.h"

namespace spolia {
namespace {

bool is_tenant_name(std::string_view name) {
    return name.size() <= 64 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
               return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
           });
}

// KEY or TENANT:KEY. Messages never repeat the key.
Status add_key(ServerConfig& server, std::string_view text) {
    const size_t colon = text.find(':');
    const bool named = colon != std::string_view::npos;
    return add_api_key(server, named ? text.substr(colon + 1) : text,
                       named ? text.substr(0, colon) : std::string_view());
}

}  // namespace

Status add_api_key(ServerConfig& server, std::string_view key, std::string_view tenant) {
    if (key.empty()) return invalid("an API key is empty");
    if (!is_tenant_name(tenant)) {
        return invalid("a tenant's name has up to 64 letters, digits and -_. only");
    }
    server.keys.push_back(ApiKey{std::string(key), std::string(tenant)});
    return {};
}

Status set_positive(int32_t& field, std::string_view text) {
    return set_integer<int32_t>(field, text, 1, std::numeric_limits<int32_t>::max());
}

Status set_natural(int32_t& field, std::string_view text) {
    return set_integer<int32_t>(field, text, 0, std::numeric_limits<int32_t>::max());
}

Status set_bytes(uint64_t& field, std::string_view text) {
    const auto expected = [&] {
        return invalid("expected bytes such as 512M or 2G, got '" + std::string(text) + "'");
    };
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) return expected();
    const std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
    int shift = 0;
    if (!suffix.empty()) {
        const size_t rank = std::string_view("KMGT").find(suffix.front());
        if (suffix.size() != 1 || rank == std::string_view::npos) return expected();
        shift = 10 * (static_cast<int>(rank) + 1);
    }
    if (value > (std::numeric_limits<uint64_t>::max() >> shift)) return expected();
    field = value << shift;
    return {};
}

Status set_switch(bool& field, std::string_view text) {
    const bool yes = text == "true" || text == "1" || text == "yes" || text == "on";
    const bool no = text == "false" || text == "0" || text == "no" || text == "off";
    if (!yes && !no) return invalid("expected true or false, got '" + std::string(text) + "'");
    field = yes;
    return {};
}

Status set_ratio(double& field, std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !(value > 0 && value <= 1)) {
        return invalid("expected a number above 0 and up to 1, got '" + std::string(text) + "'");
    }
    field = value;
    return {};
}

Status set_number(double& field, std::string_view text, double min, double max) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() ||
        !(value >= min && value <= max)) {
        const auto shown = [](double bound) { return std::to_string(static_cast<int>(bound)); };
        return invalid("expected a number from " + shown(min) + " to " + shown(max) + ", got '" +
                       std::string(text) + "'");
    }
    field = value;
    return {};
}

Status set_fidelity(Fidelity& field, std::string_view text) {
    const std::optional<Fidelity> value = fidelity_from(text);
    if (!value) return invalid("expected exact, guarded or fast, got '" + std::string(text) + "'");
    field = *value;
    return {};
}

Status set_policy(std::string& field, std::string_view text) {
    if (!is_policy(text)) {
        return invalid("expected one of " + list_of_policies() + ", got '" + std::string(text) +
                       "'");
    }
    field = text;
    return {};
}

Status add_keys(ServerConfig& server, std::string_view text) {
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(',', begin), text.size());
        if (Status status = add_key(server, text.substr(begin, end - begin)); !status.ok()) {
            return status;
        }
        begin = end + 1;
    }
    return {};
}

Status add_key_file(ServerConfig& server, std::string_view path) {
    std::ifstream file{std::string(path)};
    if (!file) return Error{ErrorCode::kIo, "can't read the key file " + std::string(path)};
    for (std::string line; std::getline(file, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (line.empty() || line.front() == '#') continue;
        if (Status status = add_key(server, line); !status.ok()) return status;
    }
    return {};
}

Status add_urls(UpstreamConfig& upstream, std::string_view text) {
    std::vector<std::string>& urls = upstream.urls;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(',', begin), text.size());
        urls.emplace_back(text.substr(begin, end - begin));
        const Result<HttpUrl> url = parse_url(urls.back());
        if (!url.ok()) return url.error();
        begin = end + 1;
    }
    return {};
}

Status set_upstream_kind(UpstreamKind& field, std::string_view text) {
    if (text == "auto") {
        field = UpstreamKind::kAuto;
    } else if (text == "llama-server") {
        field = UpstreamKind::kLlamaServer;
    } else if (text == "openai") {
        field = UpstreamKind::kOpenai;
    } else {
        return invalid("expected auto, llama-server or openai, got '" + std::string(text) + "'");
    }
    return {};
}

Status set_upstream_key(UpstreamConfig& upstream, std::string_view key) {
    const bool plain =
        std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    if (key.empty() || !plain) return invalid("an upstream's key is visible ASCII without spaces");
    upstream.key = key;
    return {};
}

Status read_upstream_key(UpstreamConfig& upstream, std::string_view path) {
    std::ifstream file{std::string(path)};
    std::string line;
    if (!file || !std::getline(file, line)) {
        return Error{ErrorCode::kIo, "can't read the key file " + std::string(path)};
    }
    if (line.ends_with('\r')) line.pop_back();
    return set_upstream_key(upstream, line);
}

Status set_affinity(std::optional<bool>& field, std::string_view text) {
    if (text == "auto") {
        field.reset();
        return {};
    }
    if (text != "on" && text != "off") {
        return invalid("expected auto, on or off, got '" + std::string(text) + "'");
    }
    field = text == "on";
    return {};
}

Status set_milliseconds(int32_t& field, std::string_view text) {
    return set_integer<int32_t>(field, text, 1, kDayMs);
}

}  // namespace spolia
