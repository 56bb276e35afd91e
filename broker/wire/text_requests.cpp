#include "broker/wire/text_requests.h"

#include "broker/wire/fields.h"
#include "broker/wire/request_options.h"

namespace spolia {
namespace {

// Half of a character can't be a JSON string: llama-server writes such a piece as its bytes.
Json piece_json(const std::string& piece) {
    const Json json = piece;
    try {
        (void)json.dump();
        return json;
    } catch (const Json::exception&) {
        Json bytes = Json::array();
        for (const char c : piece) bytes.push_back(static_cast<unsigned char>(c));
        return bytes;
    }
}

}  // namespace

Parsed<std::string> tokenize_response(std::string_view text, const TextModel& model,
                                      const JsonLimits& limits) {
    const Parsed<Json> json = parse_object(text, limits);
    if (!json.ok()) return json.error();
    Fields body(*json);
    const std::string* content = body.string("content");
    if (content == nullptr) body.fail("content", "must be a string");
    const bool add_special = body.boolean("add_special").value_or(false);
    const bool parse_special = body.boolean("parse_special").value_or(true);
    const bool with_pieces = body.boolean("with_pieces").value_or(false);
    if (!body.ok()) return body.fault();

    const Result<TokenizedText> result = model.tokenize(*content, add_special, parse_special);
    if (!result.ok()) return prompt_error(result.error(), "content");
    Json tokens = Json::array();
    for (const Token token : result->tokens) {
        if (with_pieces) {
            tokens.push_back({{"id", token}, {"piece", piece_json(model.piece(token))}});
        } else {
            tokens.push_back(token);
        }
    }
    return dump({{"tokens", std::move(tokens)}});
}

Parsed<std::string> detokenize_response(std::string_view text, const TextModel& model,
                                        const JsonLimits& limits) {
    const Parsed<Json> json = parse_object(text, limits);
    if (!json.ok()) return json.error();
    Fields body(*json);
    const Json* ids = body.array("tokens");
    if (ids == nullptr) body.fail("tokens", "must be an array of token ids");
    if (!body.ok()) return body.fault();

    std::vector<Token> tokens;
    for (const Json& id : *ids) {
        if (!id.is_number_integer() || id < 0 || id >= model.n_vocab()) {
            return bad_request(
                "'tokens' must hold ids from 0 to " + std::to_string(model.n_vocab() - 1) + " only",
                "tokens");
        }
        tokens.push_back(id.get<Token>());
    }
    return dump({{"content", model.detokenize(tokens)}});
}

}  // namespace spolia
