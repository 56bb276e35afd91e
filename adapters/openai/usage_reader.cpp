#include "adapters/openai/usage_reader.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "adapters/openai/json_ranges.h"

namespace spolia {
namespace {

std::optional<double> number(std::string_view json, ByteRange object, std::string_view name) {
    const std::optional<ByteRange> value = json_member(json, object, name);
    if (!value || json_kind(json, *value) != '0') return std::nullopt;
    const double number = std::strtod(std::string(slice(json, *value)).c_str(), nullptr);
    if (!(std::abs(number) < 1e15)) return std::nullopt;
    return number;
}

std::optional<int64_t> count(std::string_view json, ByteRange object, std::string_view name) {
    const std::optional<double> value = number(json, object, name);
    if (!value || *value < 0) return std::nullopt;
    return static_cast<int64_t>(*value);
}

// Where a text last begins, in front of `end`. rfind() compares at every place.
size_t last_place(std::string_view text, std::string_view wanted, size_t end) {
    size_t last = text.npos;
    for (size_t at = text.find(wanted); at < end; at = text.find(wanted, at + 1)) last = at;
    return last;
}

// The object that is the last member of a name, anywhere in a JSON text whose start may be missing.
// In such a text `"name"` with a colon behind it is a member: inside a string its quotes would be
// escaped.
std::optional<ByteRange> last_object(std::string_view json, std::string_view quoted_name) {
    for (size_t at = last_place(json, quoted_name, json.npos); at != json.npos;
         at = last_place(json, quoted_name, at)) {
        if (at > 0 && json[at - 1] == '\\') continue;
        const size_t colon = json.find_first_not_of(" \t\r\n", at + quoted_name.size());
        if (colon == json.npos || json[colon] != ':') continue;
        const size_t begin = json.find_first_not_of(" \t\r\n", colon + 1);
        if (begin == json.npos || json[begin] != '{') continue;
        const Result<ByteRange> value = json_value(json, begin);
        if (value.ok()) return *value;
    }
    return std::nullopt;
}

template <class T>
void replace(std::optional<T>& value, std::optional<T> newer) {
    if (newer) value = std::move(newer);
}

// OpenAI's names in chat and completions, and those of its responses.
void read_usage(std::string_view json, ByteRange object, UpstreamUsage& usage) {
    replace(usage.prompt_tokens, count(json, object, "input_tokens"));
    replace(usage.prompt_tokens, count(json, object, "prompt_tokens"));
    replace(usage.completion_tokens, count(json, object, "output_tokens"));
    replace(usage.completion_tokens, count(json, object, "completion_tokens"));
    for (const std::string_view name : {"input_tokens_details", "prompt_tokens_details"}) {
        const std::optional<ByteRange> details = json_member(json, object, name);
        if (details) replace(usage.cached_tokens, count(json, *details, "cached_tokens"));
    }
}

UpstreamTimings read_timings(std::string_view json, ByteRange object) {
    UpstreamTimings timings;
    timings.cache_n = count(json, object, "cache_n").value_or(0);
    timings.prompt_n = count(json, object, "prompt_n").value_or(0);
    timings.prompt_ms = number(json, object, "prompt_ms").value_or(0);
    timings.predicted_n = count(json, object, "predicted_n").value_or(0);
    timings.predicted_ms = number(json, object, "predicted_ms").value_or(0);
    return timings;
}

}  // namespace

void UsageReader::take(std::string_view bytes) {
    if (events_) {
        take_lines(bytes);
    } else {
        keep_end(bytes);
    }
}

UpstreamUsage UsageReader::finish() {
    if (events_) {
        take_lines("\n");
    } else {
        read(kept_);
    }
    return usage_;
}

void UsageReader::keep_end(std::string_view bytes) {
    if (bytes.size() > kept_bytes_max_) bytes = bytes.substr(bytes.size() - kept_bytes_max_);
    // Cut at twice the bound, so that each byte is moved once at most.
    if (kept_.size() + bytes.size() > 2 * kept_bytes_max_) {
        kept_.erase(0, kept_.size() + bytes.size() - kept_bytes_max_);
    }
    kept_ += bytes;
}

void UsageReader::take_lines(std::string_view bytes) {
    while (!bytes.empty()) {
        const size_t end = bytes.find('\n');
        const std::string_view part = bytes.substr(0, end);
        if (kept_.size() + part.size() > kept_bytes_max_) {
            too_long_ = true;
            kept_.clear();
        }
        if (end == bytes.npos) {
            if (!too_long_) kept_ += part;
            return;
        }
        if (!too_long_ && kept_.empty()) {
            take_line(part);
        } else if (!too_long_) {
            kept_ += part;
            take_line(kept_);
        }
        kept_.clear();
        too_long_ = false;
        bytes.remove_prefix(end + 1);
    }
}

// Nearly all lines are tokens, some with "usage": null.
void UsageReader::take_line(std::string_view line) {
    if (!line.starts_with("data:")) return;
    if (line.find("_tokens\"") == line.npos && line.find("\"timings\"") == line.npos) return;
    read(line.substr(5));
}

void UsageReader::read(std::string_view json) {
    if (const std::optional<ByteRange> usage = last_object(json, "\"usage\"")) {
        read_usage(json, *usage, usage_);
    }
    if (const std::optional<ByteRange> timings = last_object(json, "\"timings\"")) {
        usage_.timings = read_timings(json, *timings);
    }
}

}  // namespace spolia
