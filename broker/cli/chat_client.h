#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/http/client.h"
#include "index/result.h"

namespace spolia {

// One chat request of a RAG user: documents, each a content part of its own, then a question.
struct ChatCall {
    std::vector<std::string> documents;
    std::string question;
    int32_t tokens_max = 1;
    // Spolia's extensions; left out where empty, as for a stock llama-server.
    std::string fidelity;
    std::string policy;
    double recompute_ratio = 0;
    int32_t head_rows = 0;
    std::string cache_salt;
};

// What a client saw of one streamed answer.
struct ChatMeasure {
    double ttft_ms = 0;    // request sent to the first piece of the answer
    double decode_ms = 0;  // first piece to the last event
    int32_t n_prompt = 0;
    int32_t n_generated = 0;
    int32_t n_cached = 0;  // prompt tokens that the server says it did not compute
    int32_t n_exact = 0, n_shifted = 0, n_blended = 0, n_computed = 0;  // Spolia's receipt
    std::string policy;                                                 // Spolia's receipt
    std::string misses;  // its reasons, comma-separated

    double decode_ms_per_token() const {
        return n_generated > 1 ? decode_ms / (n_generated - 1) : 0;
    }
};

// Streams one greedy answer from an OpenAI-compatible server. `on_text` sees each piece; may be
// empty.
Result<ChatMeasure> chat(const HttpClient& client, const ChatCall& call,
                         const std::function<void(std::string_view)>& on_text = {});

// Body of PUT /v1/chunks for several texts.
std::string chunks_body(const std::vector<std::string>& texts);

}  // namespace spolia
