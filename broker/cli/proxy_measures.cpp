#include "broker/cli/proxy_measures.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "broker/cli/proxy_stub.h"

namespace spolia {
namespace {

// The number behind `label`, where that is.
template <class Number>
std::optional<Number> number_behind(std::string_view text, std::string_view label) {
    const size_t found = text.find(label);
    if (found == text.npos) return std::nullopt;
    text.remove_prefix(found + label.size());
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} ? std::optional(number) : std::nullopt;
}

}  // namespace

OpenLoopSchedule::Time OpenLoopSchedule::next_due() const {
    return start_ + std::chrono::nanoseconds(taken_ * 1'000'000'000 / per_second_);
}

OpenLoopSchedule::Time OpenLoopSchedule::take() {
    const Time due = next_due();
    taken_ += 1;
    return due;
}

Result<double> requests_per_second_in(std::string_view wrk_output) {
    for (const char* failed : {"Socket errors:", "Non-2xx or 3xx responses:"}) {
        const size_t found = wrk_output.find(failed);
        if (found == wrk_output.npos) continue;
        const std::string_view line =
            wrk_output.substr(found, wrk_output.find('\n', found) - found);
        return Error{ErrorCode::kIo, "wrk saw requests fail: " + std::string(line)};
    }
    const auto rate = number_behind<double>(wrk_output, "Requests/sec:");
    if (rate && *rate > 0) return *rate;
    return Error{ErrorCode::kIo,
                 "wrk tells no requests a second: " + std::string(wrk_output.substr(0, 300))};
}

uint64_t resident_bytes_in(std::string_view status) {
    return number_behind<uint64_t>(status, "VmRSS:").value_or(0) * 1024;
}

std::vector<int64_t> take_sent_times(std::string& body) {
    std::vector<int64_t> times;
    size_t begin = 0;
    for (size_t end; (end = body.find("\n\n", begin)) != body.npos; begin = end + 2) {
        const auto event = std::string_view(body).substr(begin, end - begin);
        if (const auto sent = number_behind<int64_t>(event, kSentField)) times.push_back(*sent);
    }
    body.erase(0, begin);
    return times;
}

}  // namespace spolia
