#include "broker/cli/doctor_prefix.h"

#include <cstdio>
#include <deque>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "adapters/openai/json_ranges.h"
#include "adapters/openai/prefix_lint.h"
#include "broker/cli/commands.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

// Earlier requests that one is compared with.
constexpr size_t kRequestsMax = 256;
constexpr size_t kBytesMax = size_t{256} << 20;
// Of English text and most tokenizers.
constexpr size_t kBytesAToken = 4;

size_t tokens(size_t bytes) { return bytes / kBytesAToken; }

// The request of a line: the line itself, or its member "request" or "body", which may be a text.
std::string request_of(const std::string& line) {
    const Result<ByteRange> root = json_document(line);
    if (!root.ok()) return line;
    for (const std::string_view name : {"request", "body"}) {
        const std::optional<ByteRange> inner = json_member(line, *root, name);
        if (!inner) continue;
        const bool text = json_kind(line, *inner) == '"';
        return text ? json_string(line, *inner) : std::string(slice(line, *inner));
    }
    return line;
}

struct Earlier {
    size_t line = 0;
    LintPrompt prompt;
};

// The last requests, within bounds.
class Window {
public:
    // The one that shares most with the prompt, of several the latest; null where there is none.
    const Earlier* best(const LintPrompt& prompt) const {
        const Earlier* best = nullptr;
        size_t shared_max = 0;
        for (const Earlier& earlier : requests_) {
            const size_t shared = shared_prompt_bytes(earlier.prompt, prompt);
            if (best != nullptr && shared < shared_max) continue;
            best = &earlier;
            shared_max = shared;
        }
        return best;
    }

    void add(size_t line, LintPrompt prompt) {
        bytes_ += prompt.bytes;
        requests_.push_back({line, std::move(prompt)});
        while (requests_.size() > kRequestsMax || bytes_ > kBytesMax) {
            bytes_ -= requests_.front().prompt.bytes;
            requests_.pop_front();
        }
    }

private:
    std::deque<Earlier> requests_;
    size_t bytes_ = 0;
};

// What is said of all requests together.
struct Totals {
    size_t requests = 0;
    size_t bad_lines = 0;
    size_t prompt_bytes = 0;
    size_t shared_bytes = 0;
    size_t lost_bytes = 0;
    std::map<std::string, size_t> lost_by_kind;
};

Json pair_json(size_t line, const Earlier& earlier, const LintPrompt& prompt,
               const PrefixLint& lint) {
    Json pair = {{"line", line},
                 {"before", earlier.line},
                 {"prompt_bytes", prompt.bytes},
                 {"shared_bytes", lint.shared_bytes},
                 {"lost_bytes", lint.lost_bytes},
                 {"lost_tokens_estimated", tokens(lint.lost_bytes)},
                 {"kind", to_string(lint.kind)}};
    if (lint.kind == PrefixBreak::kNone) return pair;
    pair["path"] = lint.path;
    pair["byte"] = lint.offset;
    pair["was"] = lint.was;
    pair["is"] = lint.is;
    if (!advice(lint.kind).empty()) pair["advice"] = advice(lint.kind);
    return pair;
}

void print_pair(const Json& pair) {
    const auto text = [](const Json& value) {
        return value.dump(-1, ' ', false, Json::error_handler_t::replace);
    };
    std::string line = "request " + text(pair["line"]) + " after " + text(pair["before"]) +
                       ": shares " + text(pair["shared_bytes"]) + " of " +
                       text(pair["prompt_bytes"]) + " bytes";
    if (pair["kind"] != "none") {
        line += "\n  " + pair["path"].get<std::string>() + " at byte " + text(pair["byte"]) + ": " +
                text(pair["was"]) + " -> " + text(pair["is"]) + "\n  " +
                pair["kind"].get<std::string>() + ", " + text(pair["lost_bytes"]) +
                " bytes (about " + text(pair["lost_tokens_estimated"]) +
                " tokens) behind it are in both";
    }
    if (pair.contains("advice")) line += ": " + pair["advice"].get<std::string>();
    std::printf("%s\n", line.c_str());
}

Json totals_json(const Totals& totals) {
    Json kinds = Json::object();
    for (const auto& [kind, bytes] : totals.lost_by_kind) kinds[kind] = bytes;
    return {
        {"requests", totals.requests},         {"bad_lines", totals.bad_lines},
        {"prompt_bytes", totals.prompt_bytes}, {"shared_bytes", totals.shared_bytes},
        {"lost_bytes", totals.lost_bytes},     {"lost_tokens_estimated", tokens(totals.lost_bytes)},
        {"lost_bytes_by_kind", kinds}};
}

void print_totals(const Totals& totals) {
    const double bytes = totals.prompt_bytes == 0 ? 1 : static_cast<double>(totals.prompt_bytes);
    std::printf(
        "%zu requests, %zu bytes of prompts: %.1f %% shared with an earlier one, up to "
        "%.1f %% more without these differences\n",
        totals.requests, totals.prompt_bytes,
        100 * static_cast<double>(totals.shared_bytes) / bytes,
        100 * static_cast<double>(totals.lost_bytes) / bytes);
    for (const auto& [kind, lost] : totals.lost_by_kind) {
        std::printf("  %-16s %zu bytes\n", kind.c_str(), lost);
    }
    if (totals.bad_lines > 0) {
        std::printf("left out, since they are no JSON: %zu lines\n", totals.bad_lines);
    }
}

}  // namespace

int doctor_prefix(const std::string& log, const std::string& format) {
    std::ifstream file(log, std::ios::binary);
    if (!file) {
        std::fprintf(stderr, "spolia doctor: can't read %s\n", log.c_str());
        return kExitFailure;
    }
    const bool json = format == "json";
    Json pairs = Json::array();
    Window window;
    Totals totals;
    std::string line;
    for (size_t number = 1; std::getline(file, line); ++number) {
        if (line.find_first_not_of(" \t\r") == line.npos) continue;
        Result<LintPrompt> prompt = LintPrompt::read(request_of(line));
        if (!prompt.ok()) {
            ++totals.bad_lines;
            continue;
        }
        ++totals.requests;
        totals.prompt_bytes += prompt->bytes;
        if (const Earlier* earlier = window.best(*prompt)) {
            const PrefixLint lint = lint_prefix(earlier->prompt, *prompt);
            totals.shared_bytes += lint.shared_bytes;
            totals.lost_bytes += lint.lost_bytes;
            if (lint.lost_bytes > 0) {
                totals.lost_by_kind[std::string(to_string(lint.kind))] += lint.lost_bytes;
            }
            Json pair = pair_json(number, *earlier, *prompt, lint);
            if (json) {
                pairs.push_back(std::move(pair));
            } else {
                print_pair(pair);
            }
        }
        window.add(number, *std::move(prompt));
    }
    if (json) {
        const Json report = {{"doctor", "prefix"},
                             {"version", SPOLIA_VERSION},
                             {"pairs", pairs},
                             {"totals", totals_json(totals)}};
        std::printf("%s\n", report.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    } else {
        print_totals(totals);
    }
    return totals.requests > 0 ? kExitOk : kExitFailure;
}

}  // namespace spolia
