#include "adapters/llama_server/server_client.h"

#include <optional>

#include <nlohmann/json.hpp>

namespace spolia {
namespace {

using Json = nlohmann::json;

// What went wrong, in the server's words where it has any.
Error refused(std::string_view target, const ServerReply& reply) {
    const Json body = Json::parse(reply.body, nullptr, false);
    std::string why = "HTTP " + std::to_string(reply.status);
    if (body.is_object() && body.contains("error") && body["error"].is_object()) {
        const Json& message = body["error"].value("message", Json());
        if (message.is_string()) why += ", " + message.get<std::string>();
    }
    const ErrorCode code = reply.status == 501   ? ErrorCode::kUnsupported
                           : reply.status == 404 ? ErrorCode::kNotFound
                           : reply.status == 503 ? ErrorCode::kOverloaded
                           : reply.status < 500  ? ErrorCode::kInvalidArgument
                                                 : ErrorCode::kInternal;
    return {code, "llama-server refused " + std::string(target) + ": " + why};
}

Error unexpected(std::string_view target) {
    return {ErrorCode::kUnsupported, "llama-server's answer to " + std::string(target) +
                                         " is not what its version 0.5.0 gives"};
}

Result<Json> ask(const ServerCall& call, std::string_view method, std::string_view target,
                 const Json& body) {
    const auto reply = call(
        method, target,
        body.is_null() ? std::string() : body.dump(-1, ' ', false, Json::error_handler_t::replace));
    if (!reply) return reply.error();
    if (reply->status != 200) return refused(target, *reply);
    Json json = Json::parse(reply->body, nullptr, false);
    if (!json.is_object()) return unexpected(target);
    return json;
}

// Members that are absent or of another type read as the default.
template <class T>
T member(const Json& object, const char* name, T otherwise) {
    const auto found = object.find(name);
    if (found == object.end()) return otherwise;
    if constexpr (std::is_same_v<T, std::string>) {
        return found->is_string() ? found->get<T>() : otherwise;
    } else if constexpr (std::is_same_v<T, bool>) {
        return found->is_boolean() ? found->get<T>() : otherwise;
    } else {
        return found->is_number() ? found->get<T>() : otherwise;
    }
}

const Json& object_in(const Json& object, const char* name) {
    static const Json none = Json::object();
    const auto found = object.find(name);
    return found != object.end() && found->is_object() ? *found : none;
}

std::string slot_target(int32_t slot, std::string_view action) {
    return "/slots/" + std::to_string(slot) + "?action=" + std::string(action);
}

std::optional<ServerTimings> timings_of(const Json& response) {
    const auto found = response.find("timings");
    if (found == response.end() || !found->is_object()) return std::nullopt;
    return ServerTimings{member(*found, "cache_n", 0), member(*found, "prompt_n", 0),
                         member(*found, "prompt_ms", 0.0)};
}

}  // namespace

Result<ServerProps> LlamaServerClient::props() const {
    const Result<Json> json = ask(call_, "GET", "/props", {});
    if (!json) return json.error();
    ServerProps props;
    props.build = member(*json, "build_info", std::string());
    props.model_path = member(*json, "model_path", std::string());
    props.chat_template = member(*json, "chat_template", std::string());
    props.n_slots = member(*json, "total_slots", 0);
    props.n_ctx = member(object_in(*json, "default_generation_settings"), "n_ctx", 0);
    const Json& modalities = object_in(*json, "modalities");
    props.multimodal = member(modalities, "vision", false) || member(modalities, "audio", false) ||
                       member(modalities, "video", false);
    if (props.n_slots < 1 || props.n_ctx < 1) return unexpected("/props");
    return props;
}

Result<std::string> LlamaServerClient::apply_template(std::string_view body) const {
    constexpr std::string_view kTarget = "/apply-template";
    const auto reply = call_("POST", kTarget, std::string(body));
    if (!reply) return reply.error();
    if (reply->status != 200) return refused(kTarget, *reply);
    const Json json = Json::parse(reply->body, nullptr, false);
    if (!json.is_object() || !json.contains("prompt") || !json["prompt"].is_string()) {
        return unexpected(kTarget);
    }
    return json["prompt"].get<std::string>();
}

Result<std::vector<Token>> LlamaServerClient::tokenize(std::string_view text) const {
    const Result<Json> json =
        ask(call_, "POST", "/tokenize",
            {{"content", std::string(text)}, {"add_special", true}, {"parse_special", true}});
    if (!json) return json.error();
    const auto list = json->find("tokens");
    if (list == json->end() || !list->is_array()) return unexpected("/tokenize");
    std::vector<Token> tokens;
    tokens.reserve(list->size());
    for (const Json& token : *list) {
        if (!token.is_number_integer()) return unexpected("/tokenize");
        tokens.push_back(token.get<Token>());
    }
    return tokens;
}

Status LlamaServerClient::save_slot(int32_t slot, std::string_view file) const {
    const Result<Json> json =
        ask(call_, "POST", slot_target(slot, "save"), {{"filename", std::string(file)}});
    if (!json) return json.error();
    return {};
}

Result<int32_t> LlamaServerClient::restore_slot(int32_t slot, std::string_view file) const {
    const Result<Json> json =
        ask(call_, "POST", slot_target(slot, "restore"), {{"filename", std::string(file)}});
    if (!json) return json.error();
    return member(*json, "n_restored", 0);
}

Status LlamaServerClient::erase_slot(int32_t slot) const {
    const Result<Json> json = ask(call_, "POST", slot_target(slot, "erase"), Json::object());
    if (!json) return json.error();
    return {};
}

Result<ServerTimings> LlamaServerClient::complete(int32_t slot,
                                                  std::span<const Token> prompt) const {
    const Result<Json> json = ask(call_, "POST", "/completion",
                                  {{"prompt", std::vector<Token>(prompt.begin(), prompt.end())},
                                   {"id_slot", slot},
                                   {"cache_prompt", true},
                                   {"n_predict", 1}});
    if (!json) return json.error();
    const std::optional<ServerTimings> timings = timings_of(*json);
    if (!timings) return unexpected("/completion");
    return *timings;
}

}  // namespace spolia
