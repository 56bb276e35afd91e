#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/result.h"
#include "spolia/collection.h"
#include "spolia/receipt.h"

namespace spolia {

struct BrokerOptions {
    std::string model_path;  // a GGUF file
    int32_t n_ctx = 4096;  // tokens of one prompt and its answer; 0: what the model was trained for
    int32_t n_sequences = 1;   // answers at a time; further ones wait
    int32_t n_threads = 0;     // 0: one a core
    int32_t n_gpu_layers = 0;  // < 0: all
    // Where chunks' KV outlives the process; empty: nowhere. Of a model's brokers and servers only
    // one at a time can have it open (kIo). Collections are in its folder "collections", where
    // others may write meanwhile, as `spolia ingest` does; without it in the user's cache folder,
    // as the command's are.
    std::string cache_directory;
    uint64_t ram_bytes_max = uint64_t{2} << 30;  // KV of chunks kept in memory
    // What makes the vectors of collections: a GGUF embedding model, or an OpenAI-compatible server
    // (http://...), the name of its model, and the environment variable with its key. All empty: an
    // embedder that needs no model and knows words, not meanings.
    std::string embedding_model;
    std::string embedding_url, embedding_name, embedding_key_env;
    int32_t embedding_threads = 0;     // of the GGUF embedding model; 0: one, beside the engine's
    int32_t embedding_gpu_layers = 0;  // of it; < 0: all
    // For prompts that don't say.
    Fidelity fidelity = Fidelity::kExact;
    // auto (adaptive where `spolia calibrate` has found a check layer, else cacheblend) | anchors
    // (adaptive over rows that other prompts left, for agents that read the same) | none | epic |
    // cacheblend | query | trace | adaptive | full
    std::string policy = "auto";
    double recompute_ratio = 0.15;  // of reused tokens, policy cacheblend
    int32_t chunk_tokens_min = 32;  // shorter parts are computed
    bool reuse_by_cost = true;      // what looks slower to reuse than to compute is computed
    // Fidelity guarded: the KL of the first token (nats) that 99 % of prompts keep, and the share
    // with the same likeliest first token.
    double max_kl = 0.05;
    double min_agreement = 0.99;
};

// One message of a conversation. Each part is looked for in the cache by itself: give documents a
// part of their own.
struct Message {
    std::string role;  // system | user | assistant | tool
    std::vector<std::string> parts;
};

struct Prompt {
    std::vector<Message> messages;
    int32_t tokens_max = 256;
    double temperature = 0;  // 0: greedy
    std::optional<uint32_t> seed;
    std::string tenant;  // prompts and chunks of different tenants never share anything
    std::optional<Fidelity> fidelity;
    std::optional<std::string> policy;
    std::optional<double> recompute_ratio;
};

// Puts chunks, in their order and each as a part of its own, in front of the parts of the last
// message whose role is "user": as text next to others a chunk would not be found in the cache.
// kInvalidArgument: there is no such message.
Status add_context(Prompt& prompt, const std::vector<ScoredChunk>& chunks);

struct Answer {
    std::string text;
    FinishReason finish = FinishReason::kStop;
    int32_t n_tokens = 0;
    Receipt receipt;
};

// Sees each piece of an answer's text (UTF-8) as it is generated, on the broker's own thread.
// Returns false to end the answer early.
using OnText = std::function<bool(std::string_view piece)>;

// A model with a KV cache of chunks, in this process. Thread-safe; calls block until they are done.
class Broker {
public:
    // Loads the model and checks that reuse is right for it: seconds to minutes. Fails with
    // kNotFound, kCorrupt, kUnsupported or kOutOfMemory where the model can't be served.
    static Result<std::unique_ptr<Broker>> open(const BrokerOptions& options);
    ~Broker();
    Broker(const Broker&) = delete;
    Broker& operator=(const Broker&) = delete;

    // Computes a document's KV ahead of time, so that prompts find it wherever it stands in them.
    // Returns the number of its tokens that can be reused: those of its chunks.
    Result<int32_t> add_document(const std::string& text, const std::string& tenant = {});

    // Opens a collection, and makes it where there is none. `name`: 1 to 64 letters, digits and
    // -_. that start with no dot (kInvalidArgument). Collections of different tenants never share
    // anything; a tenant's prompts reuse the KV of the tenant's chunks. kIo and kCorrupt: its file
    // can't be used, the error says which. Must end before the broker.
    Result<std::unique_ptr<Collection>> open_collection(const std::string& name,
                                                        const std::string& tenant = {});

    // By name. Those that can't be opened are left out.
    std::vector<CollectionInfo> list_collections(const std::string& tenant = {});

    // Removes a collection and all that is in it; its chunks' KV goes when others need the room.
    // What is being ingested into it meanwhile is lost. kNotFound: there is none of that name.
    Status remove_collection(const std::string& name, const std::string& tenant = {});

    // Answers a prompt. kContextTooLong when prompt and answer don't fit n_ctx.
    Result<Answer> ask(const Prompt& prompt, const OnText& on_text = {});

private:
    class Impl;
    explicit Broker(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace spolia
