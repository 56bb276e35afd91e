#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "index/text_embedder.h"
#include "tests/support/stub_server.h"

namespace spolia::testing {

// Answers POST /v1/embeddings with the vectors of an embedder, which it borrows, the last text's
// first, and not of length 1. `change` may change the answer.
inline StubServer::Answer embeddings_of(const TextEmbedder& embedder,
                                        std::function<void(nlohmann::json&)> change = {}) {
    return [&embedder, change = std::move(change)](const StubRequest& request) {
        const nlohmann::json body = nlohmann::json::parse(request.body);
        const auto texts = body["input"].get<std::vector<std::string>>();
        nlohmann::json data = nlohmann::json::array();
        for (size_t i = texts.size(); i-- > 0;) {
            const std::string_view text = texts[i];
            std::vector<float> vector = *embedder.embed({&text, 1});
            for (float& x : vector) x *= 3;
            data.push_back({{"object", "embedding"}, {"index", i}, {"embedding", vector}});
        }
        nlohmann::json answer = {{"object", "list"}, {"data", data}, {"model", "stub"}};
        if (change) change(answer);
        return std::optional(stub_response(200, answer.dump()));
    };
}

}  // namespace spolia::testing
