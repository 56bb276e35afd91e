#include "broker/wire/json.h"

#include <algorithm>
#include <vector>

namespace spolia {
namespace {

// "line 3, column 14" of a byte offset, both from 1; columns are bytes.
std::string place_of(std::string_view text, size_t offset) {
    const std::string_view before = text.substr(0, std::min(offset, text.size()));
    const auto lines = std::count(before.begin(), before.end(), '\n');
    const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 == 0: the first line
    return "line " + std::to_string(lines + 1) + ", column " +
           std::to_string(before.size() - line_begin + 1);
}

ApiError bad_json(std::string_view text, size_t offset, const std::string& why) {
    return bad_request("the body is not acceptable JSON: " + why + " at " + place_of(text, offset),
                       {}, "invalid_json");
}

// Walks over the text once, before anything is built. What is no JSON passes: the parser finds it.
Parsed<bool> check_limits(std::string_view text, const JsonLimits& limits) {
    std::vector<int32_t> members;  // of each object or array that is open
    int32_t n_values = 1;
    bool quoted = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\') ++i;
            quoted = c != '"';
            continue;
        }
        if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            members.push_back(0);
            ++n_values;
            if (members.size() > static_cast<size_t>(limits.depth_max)) {
                return bad_json(
                    text, i,
                    "it is nested deeper than " + std::to_string(limits.depth_max) + " levels");
            }
        } else if ((c == '}' || c == ']') && !members.empty()) {
            members.pop_back();
        } else if (c == ':' && !members.empty() && ++members.back() > limits.members_max) {
            return bad_json(
                text, i,
                "an object has more than " + std::to_string(limits.members_max) + " members");
        } else if (c == ',') {
            ++n_values;
        }
        if (n_values > limits.values_max) {
            return bad_json(text, i,
                            "it has more than " + std::to_string(limits.values_max) + " values");
        }
    }
    return true;
}

// The parser's words, without the text around the error, which may be long and is the client's.
std::string reason_of(const Json::parse_error& error) {
    const std::string_view what = error.what();
    if (what.find("ill-formed UTF-8") != std::string_view::npos) return "invalid UTF-8";
    const size_t begin = what.find(" - ");
    if (begin == std::string_view::npos) return "syntax error";
    std::string_view reason = what.substr(begin + 3);
    reason = reason.substr(0, reason.find("; last read"));
    constexpr size_t kReasonMax = 120;
    return "syntax error, " + std::string(reason.substr(0, kReasonMax));
}

}  // namespace

Parsed<Json> parse_object(std::string_view body, const JsonLimits& limits) {
    if (body.empty()) return bad_request("the body is empty: a JSON object is expected");
    if (const Parsed<bool> within = check_limits(body, limits); !within.ok()) return within.error();
    try {
        Json json = Json::parse(body);
        if (!json.is_object()) return bad_request("the body must be a JSON object");
        return json;
    } catch (const Json::parse_error& error) {
        return bad_json(body, error.byte == 0 ? 0 : error.byte - 1, reason_of(error));
    } catch (const Json::exception&) {
        return bad_request("the body is not acceptable JSON: a number is out of range", {},
                           "invalid_json");
    }
}

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace spolia
