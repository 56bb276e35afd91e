#include "broker/cli/chat_client.h"

#include <chrono>
#include <optional>

#include <nlohmann/json.hpp>

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

std::string body_of(const ChatCall& call) {
    Json parts = Json::array();
    for (const std::string& document : call.documents) {
        parts.push_back({{"type", "text"}, {"text", document + "\n\n"}});
    }
    parts.push_back({{"type", "text"}, {"text", call.question}});
    Json body = {{"messages", Json::array({{{"role", "user"}, {"content", parts}}})},
                 {"max_tokens", call.tokens_max},
                 {"temperature", 0},
                 {"ignore_eos", true},
                 {"cache_prompt", true},
                 {"stream", true},
                 {"stream_options", {{"include_usage", true}}}};
    Json spolia = Json::object();
    if (!call.fidelity.empty()) spolia["fidelity"] = call.fidelity;
    if (!call.policy.empty()) spolia["policy"] = call.policy;
    if (call.recompute_ratio > 0) spolia["recompute_ratio"] = call.recompute_ratio;
    if (call.head_rows > 0) spolia["head_rows"] = call.head_rows;
    if (!spolia.empty()) body["spolia"] = spolia;
    if (!call.cache_salt.empty()) body["cache_salt"] = call.cache_salt;
    return body.dump();
}

double ms_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

void read_usage(const Json& event, ChatMeasure& measure) {
    if (const auto usage = event.find("usage"); usage != event.end() && usage->is_object()) {
        measure.n_prompt = usage->value("prompt_tokens", 0);
        measure.n_generated = usage->value("completion_tokens", 0);
        if (const auto details = usage->find("prompt_tokens_details"); details != usage->end()) {
            measure.n_cached = details->value("cached_tokens", 0);
        }
    }
    if (const auto timings = event.find("timings");
        timings != event.end() && timings->is_object()) {
        measure.n_cached = timings->value("cache_n", measure.n_cached);
    }
    if (const auto receipt = event.find("spolia"); receipt != event.end() && receipt->is_object()) {
        const Json tokens = receipt->value("tokens", *receipt);
        measure.n_exact = tokens.value("exact", 0);
        measure.n_shifted = tokens.value("shifted", 0);
        measure.n_blended = tokens.value("blended", 0);
        measure.n_computed = tokens.value("computed", 0);
        measure.policy = receipt->value("policy", "");
        measure.misses.clear();
        for (const Json& miss : receipt->value("misses", Json::array())) {
            if (!measure.misses.empty()) measure.misses += ',';
            measure.misses += miss.value("reason", "");
        }
    }
}

// The answer's text in an event; nullopt where it has none, as in the role's and the usage's.
std::optional<std::string> text_of(const Json& event) {
    const auto choices = event.find("choices");
    if (choices == event.end() || choices->empty()) return std::nullopt;
    const auto delta = (*choices)[0].find("delta");
    if (delta == (*choices)[0].end()) return std::nullopt;
    for (const char* key : {"content", "reasoning_content"}) {
        const auto text = delta->find(key);
        if (text != delta->end() && text->is_string() && !text->get<std::string>().empty()) {
            return text->get<std::string>();
        }
    }
    return std::nullopt;
}

}  // namespace

Result<ChatMeasure> chat(const HttpClient& client, const ChatCall& call,
                         const std::function<void(std::string_view)>& on_text) {
    ChatMeasure measure;
    std::string failure;
    const auto sent = Clock::now();
    Clock::time_point first = sent, last = sent;
    bool started = false;
    const Result<HttpReply> reply =
        client.stream("/v1/chat/completions", body_of(call), [&](std::string_view data) {
            const Json event = Json::parse(data, nullptr, false);
            if (event.is_discarded() || event.contains("error")) {
                failure = data;
                return false;
            }
            if (const auto text = text_of(event)) {
                last = Clock::now();
                if (!started) first = last;
                started = true;
                if (on_text) on_text(*text);
            }
            read_usage(event, measure);
            return true;
        });
    if (!reply.ok()) return reply.error();
    if (reply->status != 200 || !failure.empty()) {
        return Error{ErrorCode::kIo, "the server answered " + std::to_string(reply->status) + ": " +
                                         (failure.empty() ? reply->body : failure)};
    }
    if (!started) return Error{ErrorCode::kIo, "the server's answer has no text"};
    measure.ttft_ms = ms_between(sent, first);
    measure.decode_ms = ms_between(first, last);
    return measure;
}

std::string chunks_body(const std::vector<std::string>& texts) {
    return Json({{"texts", texts}}).dump();
}

}  // namespace spolia
