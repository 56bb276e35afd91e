#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/config.h"
#include "index/result.h"

// What settings' values look like. Each sets a field from its text, or says what is expected.

namespace spolia {

inline constexpr int32_t kDayMs = 86'400'000;

template <class T>
Status set_integer(T& field, std::string_view text, T min, T max) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < min || value > max) {
        return invalid("expected a whole number from " + std::to_string(min) + " to " +
                       std::to_string(max) + ", got '" + std::string(text) + "'");
    }
    field = value;
    return {};
}

// A text or a path, as it is given.
template <class T>
Status set_text(T& field, std::string_view text) {
    field = text;
    return {};
}

// 1 or more; 0 or more.
Status set_positive(int32_t& field, std::string_view text);
Status set_natural(int32_t& field, std::string_view text);
// With a suffix K, M, G or T (powers of 1024).
Status set_bytes(uint64_t& field, std::string_view text);
Status set_switch(bool& field, std::string_view text);
Status set_ratio(double& field, std::string_view text);
Status set_number(double& field, std::string_view text, double min, double max);
Status set_fidelity(Fidelity& field, std::string_view text);
Status set_policy(std::string& field, std::string_view text);
Status add_api_key(ServerConfig& server, std::string_view key, std::string_view tenant);
// [TENANT:]KEY[,...], and a file of such lines. Messages never repeat a key.
Status add_keys(ServerConfig& server, std::string_view text);
Status add_key_file(ServerConfig& server, std::string_view path);
Status add_urls(UpstreamConfig& upstream, std::string_view text);
Status set_upstream_kind(UpstreamKind& field, std::string_view text);
// As it is, and as the first line of a file. Messages never repeat it.
Status set_upstream_key(UpstreamConfig& upstream, std::string_view key);
Status read_upstream_key(UpstreamConfig& upstream, std::string_view path);
Status set_affinity(std::optional<bool>& field, std::string_view text);
// 1 to a day of them.
Status set_milliseconds(int32_t& field, std::string_view text);

}  // namespace spolia
