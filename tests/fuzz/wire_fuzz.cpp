// libFuzzer target of everything that reads a request's body: any bytes give a request or an error
// that can be sent. Build it with
//   clang++ -std=c++20 -g -fsanitize=fuzzer,address,undefined -I. tests/fuzz/wire_fuzz.cpp
//       broker/wire/*.cpp broker/request.cpp reuse/selector*.cpp index/*.cpp -lxxhash
// and start it with tests/fuzz/corpus/wire. unit_broker replays that corpus, cut and changed too.
//
// Input: one byte that chooses the reader, then the body.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "broker/wire/chunk_requests.h"
#include "broker/wire/requests.h"
#include "broker/wire/text_requests.h"
#include "tests/unit/broker/fake_text_model.h"

namespace {

using namespace spolia;

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
}

void check_error(const ApiError& error) {
    require(error.status >= 400 && error.status < 600, "errors have an error's status");
    require(!error.message.empty(), "errors say what is wrong");
    require(nlohmann::json::accept(to_json(error)), "errors can be written");
}

void check_request(const Parsed<ParsedRequest>& request, int32_t n_vocab) {
    if (!request.ok()) return check_error(request.error());
    const GenerateRequest& generate = request->generate;
    require(!generate.prompt.tokens.empty(), "prompts are not empty");
    for (const Token token : generate.prompt.tokens) {
        require(token >= 0 && token < n_vocab, "tokens are the vocabulary's");
    }
    require(generate.prompt.has_offsets(), "offsets stand for every token");
    uint32_t at = 0;
    for (const TextSpan& span : generate.spans) {
        require(span.begin >= at && span.end >= span.begin, "spans ascend");
        at = span.end;
    }
    require(at <= generate.prompt.text.size(), "spans are in the text");
    for (const std::string& stop : generate.stops) require(!stop.empty(), "stops are not empty");
    require(generate.sampling.temperature >= 0, "temperatures are not negative");
    require(generate.tokens_max != 0, "something may be generated");
    const auto& ratio = generate.reuse.recompute_ratio;
    require(!ratio || (*ratio > 0 && *ratio <= 1), "ratios are shares");
}

void check_text(const Parsed<std::string>& response) {
    if (!response.ok()) return check_error(response.error());
    require(nlohmann::json::accept(*response), "responses are JSON");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    static const testing::FakeTextModel model;
    static const std::vector<std::string> names = {"model"};
    const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
    const RequestContext context{model, names, "tenant", {}, [](const Retrieval&) {
                                     RetrievedChunk found;
                                     found.chunk.text = "text\n";
                                     return std::vector<RetrievedChunk>{found, found};
                                 }};
    switch (data[0] % 6) {
        case 0: check_request(parse_chat_request(body, context), model.n_vocab()); break;
        case 1: check_request(parse_completion_request(body, context), model.n_vocab()); break;
        case 2: check_text(render_prompt(body, context)); break;
        case 3: check_text(tokenize_response(body, model, {})); break;
        case 4: check_text(detokenize_response(body, model, {})); break;
        default: {
            const Parsed<PutChunks> put = parse_put_chunks(body, {});
            if (put.ok())
                require(!put->texts.empty(), "there is something to put");
            else
                check_error(put.error());
            const Parsed<RetrieveRequest> retrieve = parse_retrieve_request(body, {});
            if (retrieve.ok())
                require(!retrieve->wanted.query.empty(), "there is something to look for");
            else
                check_error(retrieve.error());
        }
    }
    return 0;
}
