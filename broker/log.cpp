#include "broker/log.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <utility>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "index/thread_annotations.h"

namespace spolia {
namespace {

constexpr std::pair<LogLevel, std::string_view> kLevels[] = {
    {LogLevel::kDebug, "debug"}, {LogLevel::kInfo, "info"}, {LogLevel::kWarning, "warning"},
    {LogLevel::kError, "error"}, {LogLevel::kOff, "off"},
};

std::string_view level_name(LogLevel level) {
    for (const auto& [value, name] : kLevels) {
        if (value == level) return name;
    }
    return "off";
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
    switch (level) {
        case LogLevel::kDebug: return spdlog::level::debug;
        case LogLevel::kInfo: return spdlog::level::info;
        case LogLevel::kWarning: return spdlog::level::warn;
        case LogLevel::kError: return spdlog::level::err;
        case LogLevel::kOff: return spdlog::level::off;
    }
    return spdlog::level::off;
}

void append_quoted(std::string& line, std::string_view text) {
    line += '"';
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            line += '\\';
            line += c;
        } else if (byte < 0x20 || byte == 0x7f) {
            constexpr char kDigits[] = "0123456789abcdef";
            line += "\\u00";
            line += kDigits[byte >> 4];
            line += kDigits[byte & 15];
        } else {
            line += c;
        }
    }
    line += '"';
}

// A text that can't be mistaken for two fields stands bare in text lines.
bool is_bare(std::string_view text) {
    if (text.empty()) return false;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte == 0x7f || c == '"' || c == '\\' || c == '=') return false;
    }
    return true;
}

void append_value(std::string& line, const LogField& field, bool quote_always) {
    if (const auto* text = std::get_if<std::string_view>(&field.value)) {
        if (quote_always || !is_bare(*text)) {
            append_quoted(line, *text);
        } else {
            line += *text;
        }
    } else if (const auto* whole = std::get_if<int64_t>(&field.value)) {
        line += std::to_string(*whole);
    } else {
        const double number = std::get<double>(field.value);
        std::array<char, 64> digits;
        const auto end =
            std::to_chars(digits.data(), digits.data() + digits.size(),
                          std::isfinite(number) && std::abs(number) < 1e15 ? number : 0,
                          std::chars_format::fixed, 3);
        line.append(digits.data(), end.ptr);
    }
}

std::string time_now() {
    const auto now = std::chrono::system_clock::now();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - seconds).count();
    const std::time_t time = std::chrono::system_clock::to_time_t(seconds);
    std::tm utc{};
    gmtime_r(&time, &utc);
    std::array<char, 64> text;
    const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    const std::string digits = std::to_string(1000 + ms);
    return std::string(text.data(), size) + "." + digits.substr(1) + "Z";
}

struct Log {
    std::shared_ptr<spdlog::logger> logger;
    LogFormat format = LogFormat::kText;
};

Mutex log_mutex;

// Read by value: the logger itself is thread-safe.
Log& the_log() REQUIRES(log_mutex) {
    static Log log = [] {
        Log first;
        first.logger = std::make_shared<spdlog::logger>(
            "spolia", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        first.logger->set_pattern("%v");
        first.logger->set_level(spdlog::level::warn);
        return first;
    }();
    return log;
}

}  // namespace

std::optional<LogFormat> log_format_from(std::string_view text) {
    if (text == "text") return LogFormat::kText;
    if (text == "json") return LogFormat::kJson;
    return std::nullopt;
}

std::optional<LogLevel> log_level_from(std::string_view text) {
    for (const auto& [value, name] : kLevels) {
        if (name == text) return value;
    }
    return std::nullopt;
}

std::string format_log_line(LogFormat format, LogLevel level, std::string_view time,
                            std::string_view message, std::span<const LogField> fields) {
    std::string line;
    if (format == LogFormat::kText) {
        line.append(time).append(" ").append(level_name(level)).append(" ").append(message);
        for (const LogField& field : fields) {
            line.append(" ").append(field.key).append("=");
            append_value(line, field, false);
        }
        return line;
    }
    line.append("{\"time\":");
    append_quoted(line, time);
    line.append(",\"level\":");
    append_quoted(line, level_name(level));
    line.append(",\"message\":");
    append_quoted(line, message);
    for (const LogField& field : fields) {
        line += ',';
        append_quoted(line, field.key);
        line += ':';
        append_value(line, field, true);
    }
    return line + "}";
}

void start_log(LogFormat format, LogLevel level) {
    const MutexLock lock(log_mutex);
    the_log().format = format;
    the_log().logger->set_level(spdlog_level(level));
}

bool logs(LogLevel level) {
    const MutexLock lock(log_mutex);
    return level != LogLevel::kOff && the_log().logger->should_log(spdlog_level(level));
}

void log_event(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
    Log log;
    {
        const MutexLock lock(log_mutex);
        log = the_log();
    }
    if (level == LogLevel::kOff || !log.logger->should_log(spdlog_level(level))) return;
    log.logger->log(spdlog_level(level), spdlog::string_view_t(format_log_line(
                                             log.format, level, time_now(), message,
                                             std::span(fields.begin(), fields.size()))));
}

}  // namespace spolia
