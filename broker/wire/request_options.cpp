#include "broker/wire/request_options.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <random>

#include "broker/request.h"
#include "broker/wire/retrieval_fields.h"

namespace spolia {
namespace {

constexpr int32_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr size_t kStopsMax = 16;
constexpr size_t kSaltBytesMax = 1024;

// Ids need to be unique, not secret.
std::string new_id(Surface surface) {
    thread_local std::mt19937_64 random{std::random_device{}()};
    constexpr std::string_view kAlphabet =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::uniform_int_distribution<size_t> pick(0, kAlphabet.size() - 1);
    std::string id = surface == Surface::kChat ? "chatcmpl-" : "cmpl-";
    for (int i = 0; i < 24; ++i) id += kAlphabet[pick(random)];
    return id;
}

void read_model(Fields& body, const RequestContext& context) {
    const std::string* model = body.string("model");
    if (model == nullptr || model->empty()) return;
    const auto& names = context.model_names;
    if (std::find(names.begin(), names.end(), *model) != names.end()) return;
    body.fail_with(
        ApiError{404, "the model '" + *model + "' is not served here; '" + names.front() + "' is",
                 "invalid_request_error", "model", "model_not_found"});
}

template <class T, class U>
void set_if(T& field, const std::optional<U>& value) {
    if (value) field = static_cast<T>(*value);
}

void read_logit_bias(Fields& body, int32_t n_vocab, SamplingParams& sampling) {
    const Json* biases = body.object("logit_bias");
    if (biases == nullptr) return;
    for (const auto& [key, value] : biases->items()) {
        Token token = -1;
        const char* const end = key.data() + key.size();
        const auto [stop, error] = std::from_chars(key.data(), end, token);
        if (error != std::errc{} || stop != end || token < 0 || token >= n_vocab) {
            return body.fail("logit_bias", "must have token ids below " + std::to_string(n_vocab) +
                                               " as its keys, as strings");
        }
        const double bias = value.is_number() ? value.get<double>() : 1e9;
        if (!(bias >= -100 && bias <= 100)) {
            return body.fail("logit_bias", "must have numbers from -100 to 100 as its values");
        }
        sampling.logit_bias.emplace_back(token, static_cast<float>(bias));
    }
}

void read_sampling(Fields& body, int32_t n_vocab, SamplingParams& sampling) {
    set_if(sampling.temperature, body.number("temperature", 0, 2));
    set_if(sampling.top_p, body.number("top_p", 0, 1));
    set_if(sampling.min_p, body.number("min_p", 0, 1));
    set_if(sampling.top_k, body.integer("top_k", -1, kInt32Max));
    set_if(sampling.repeat_penalty, body.number("repeat_penalty", 0, 10));
    set_if(sampling.repeat_last_n, body.integer("repeat_last_n", -1, kInt32Max));
    set_if(sampling.frequency_penalty, body.number("frequency_penalty", -2, 2));
    set_if(sampling.presence_penalty, body.number("presence_penalty", -2, 2));
    set_if(sampling.ignore_eos, body.boolean("ignore_eos"));
    const auto seed = body.integer("seed", std::numeric_limits<int64_t>::min(),
                                   std::numeric_limits<int64_t>::max());
    // -1 is llama-server's word for a random one.
    if (seed && *seed != -1) sampling.seed = static_cast<uint32_t>(*seed);
    read_logit_bias(body, n_vocab, sampling);
}

void read_stops(Fields& body, std::vector<std::string>& stops) {
    const Json* value = body.any("stop");
    if (value == nullptr) return;
    if (value->is_string()) {
        stops.push_back(value->get<std::string>());
    } else if (value->is_array() && value->size() <= kStopsMax) {
        for (const Json& stop : *value) {
            if (!stop.is_string()) return body.fail("stop", "must hold strings only");
            stops.push_back(stop.get<std::string>());
        }
    } else {
        return body.fail("stop", "must be a string or an array of up to " +
                                     std::to_string(kStopsMax) + " strings");
    }
    const bool empty = std::any_of(stops.begin(), stops.end(),
                                   [](const std::string& stop) { return stop.empty(); });
    if (empty) body.fail("stop", "must not be empty text, which would end every answer at once");
}

void read_tokens_max(Fields& body, GenerateRequest& generate) {
    const auto old_name = body.integer("max_tokens", 1, kInt32Max);
    const auto new_name = body.integer("max_completion_tokens", 1, kInt32Max);
    set_if(generate.tokens_max, old_name);
    set_if(generate.tokens_max, new_name);
}

void read_stream(Fields& body, ParsedRequest& request) {
    set_if(request.stream, body.boolean("stream"));
    if (const Json* options = body.object("stream_options")) {
        Fields fields(*options, "stream_options");
        set_if(request.include_usage, fields.boolean("include_usage"));
        body.adopt(fields);
    }
}

void refuse_unsupported(Fields& body) {
    if (const auto n = body.integer("n", 1, kInt32Max); n && *n > 1) {
        body.fail("n", "must be 1: several answers to one request are not supported");
    }
    if (const auto n = body.integer("best_of", 1, kInt32Max); n && *n > 1) {
        body.fail("best_of", "must be 1: several answers to one request are not supported");
    }
    const Json* logprobs = body.any("logprobs");
    if (logprobs != nullptr && *logprobs != false) body.fail("logprobs", "is not supported");
    const Json* top = body.any("top_logprobs");
    if (top != nullptr && *top != 0) body.fail("top_logprobs", "is not supported");
}

void read_policy(Fields& fields, ReuseOptions& reuse) {
    const std::string* policy = fields.string("policy");
    if (policy == nullptr) return;
    if (!is_policy(*policy)) {
        return fields.fail("policy", "must be one of " + list_of_policies());
    }
    reuse.policy = *policy;
}

void read_reuse(Fields& body, ParsedRequest& request) {
    ReuseOptions& reuse = request.generate.reuse;
    const Json* object = body.object("spolia");
    if (object == nullptr) return;
    Fields fields(*object, "spolia");
    if (const std::string* fidelity = fields.string("fidelity")) {
        reuse.fidelity = fidelity_from(*fidelity);
        if (!reuse.fidelity) fields.fail("fidelity", "must be exact, guarded or fast");
    }
    read_policy(fields, reuse);
    reuse.recompute_ratio = fields.number("recompute_ratio", 0, 1);
    if (reuse.recompute_ratio == 0.0) fields.fail("recompute_ratio", "must be above 0");
    if (const auto rows = fields.integer("head_rows", 0, kInt32Max)) {
        reuse.head_rows = static_cast<int32_t>(*rows);
    }
    reuse.max_kl = fields.number("max_kl", 0, 100);
    reuse.min_agreement = fields.number("min_agreement", 0, 1);
    if (const std::string* agent = fields.string("agent")) reuse.agent = *agent;
    // Checked only: which sequence a request gets is the scheduler's choice.
    (void)fields.integer("slot", 0, kInt32Max);
    request.retrieval = read_retrieval(fields);
    if (request.retrieval && request.surface != Surface::kChat) {
        fields.fail("retrieve", "is for chat completions: there it goes before the last message");
    }
    fields.refuse_others();
    body.adopt(fields);
}

}  // namespace

std::string tenant_salt(std::string_view tenant, std::string_view cache_salt) {
    std::string salt(tenant);
    if (!cache_salt.empty()) salt.append("\n").append(cache_salt);
    return salt;
}

std::string read_cache_salt(Fields& body) {
    const std::string* salt = body.string("cache_salt");
    if (salt == nullptr) return {};
    if (salt->size() > kSaltBytesMax) {
        body.fail("cache_salt", "must be at most " + std::to_string(kSaltBytesMax) + " bytes");
    }
    return *salt;
}

ApiError prompt_error(const Error& error, const char* param) {
    ApiError result = api_error(error);
    if (result.status == 400) result.param = param;
    return result;
}

void read_prompt_options(Fields& body, const RequestContext& context, ParsedRequest& request) {
    request.generate.id = new_id(request.surface);
    read_reuse(body, request);
    request.generate.tenant = tenant_salt(context.tenant, read_cache_salt(body));
}

void read_options(Fields& body, const RequestContext& context, ParsedRequest& request) {
    GenerateRequest& generate = request.generate;
    read_prompt_options(body, context, request);
    read_model(body, context);
    refuse_unsupported(body);
    read_stream(body, request);
    read_tokens_max(body, generate);
    read_stops(body, generate.stops);
    read_sampling(body, context.text.n_vocab(), generate.sampling);
    // A hint for the routing of requests, which a single engine has no use for.
    (void)body.string("prompt_cache_key");
}

}  // namespace spolia
