#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/result.h"
#include "index/token.h"

namespace spolia {

struct ServerReply {
    int status = 0;
    std::string body;
};

// One HTTP call to the server, blocking: method, target, JSON body (may be empty). kIo where there
// is no answer. Callable by any thread.
using ServerCall =
    std::function<Result<ServerReply>(std::string_view, std::string_view, std::string)>;

// What a llama-server says of itself (GET /props).
struct ServerProps {
    std::string build;  // "b1-abc123"
    std::string model_path;
    std::string chat_template;
    int32_t n_slots = 0;
    int32_t n_ctx = 0;  // of a slot
    bool multimodal = false;
};

// How a completion went, by the server's own count.
struct ServerTimings {
    int32_t cache_n = 0;   // prompt tokens whose KV its slot had
    int32_t prompt_n = 0;  // prompt tokens computed
    double prompt_ms = 0;
};

// The calls of llama-server's API that handing over slots takes. Any thread.
class LlamaServerClient {
public:
    explicit LlamaServerClient(ServerCall call) : call_(std::move(call)) {}

    Result<ServerProps> props() const;
    // The prompt that a chat request's body renders to.
    Result<std::string> apply_template(std::string_view body) const;
    // As completions tokenize their prompt: with BOS where the model wants it, control tokens by
    // name.
    Result<std::vector<Token>> tokenize(std::string_view text) const;

    // File names are relative to the server's --slot-save-path.
    Status save_slot(int32_t slot, std::string_view file) const;
    // Returns how many tokens the slot has then.
    Result<int32_t> restore_slot(int32_t slot, std::string_view file) const;
    Status erase_slot(int32_t slot) const;
    // Computes a prompt in a slot, and one token behind it.
    Result<ServerTimings> complete(int32_t slot, std::span<const Token> prompt) const;

private:
    ServerCall call_;
};

}  // namespace spolia
