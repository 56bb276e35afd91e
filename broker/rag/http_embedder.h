#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "index/result.h"
#include "index/text_embedder.h"

namespace spolia {

struct HttpEmbedderOptions {
    std::string url;      // as OpenAI's base URL: "http://HOST:PORT/v1"; or with "/embeddings"
    std::string model;    // empty: the server's own
    std::string api_key;  // bearer; empty: none
    std::chrono::milliseconds timeout{60'000};   // of a request
    int32_t attempts_max = 5;                    // at a request that the server has no time for
    std::chrono::milliseconds wait_max{30'000};  // between two of them
    // Passes the time between them; empty: sleeps.
    std::function<void(std::chrono::milliseconds)> wait;
};

// An embedder that is an OpenAI-compatible server's POST /v1/embeddings. It asks once to learn the
// number of dimensions. Requests are bounded in texts and bytes; one that is answered by 429 or 503
// is sent again, when Retry-After says so or after ever longer waits, and in the end fails with
// kOverloaded. Other failures are not tried again: kIo, or kCorrupt for an answer that does not
// hold the vectors. Errors name the URL, and the status and words of the server; never the key.
//
// The fingerprint is of the URL as it is written, the model's name and the number of dimensions: a
// server tells nothing better, since what it answers for a text may differ in the last bits from
// call to call. The same server under another URL is another embedder.
//
// Of a text only the first 8,192 bytes are embedded: servers refuse what is longer than their
// model's context. Zeros for a text of nothing but white space.
Result<std::unique_ptr<TextEmbedder>> open_http_embedder(HttpEmbedderOptions options);

}  // namespace spolia
