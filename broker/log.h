#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace spolia {

enum class LogFormat : uint8_t { kText, kJson };
enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError, kOff };

std::optional<LogFormat> log_format_from(std::string_view text);  // text | json
std::optional<LogLevel> log_level_from(
    std::string_view text);  // debug | info | warning | error | off

struct LogField {
    std::string_view key;
    std::variant<std::string_view, int64_t, double> value;
};

// One line: time, level, message, then key=value for each field, or one JSON object of the same.
// Without the line's end. `time` is what the line shows.
std::string format_log_line(LogFormat format, LogLevel level, std::string_view time,
                            std::string_view message, std::span<const LogField> fields);

// Sets up logging to standard error; until then only warnings and errors are shown, as text.
void start_log(LogFormat format, LogLevel level);

// Whether lines of that level are shown.
bool logs(LogLevel level);

// Thread-safe. Never pass secrets: keys are named by their tenant.
void log_event(LogLevel level, std::string_view message,
               std::initializer_list<LogField> fields = {});

}  // namespace spolia
