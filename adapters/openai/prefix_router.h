#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/openai/lru_map.h"
#include "index/fingerprint.h"
#include "index/thread_annotations.h"

namespace spolia {

// What the router knows of one server when it chooses.
struct UpstreamLoad {
    std::string name;
    bool healthy = true;
    bool draining = false;
    int32_t in_flight = 0;
};

struct PrefixRouterOptions {
    size_t entries_max = size_t{1} << 18;  // keys remembered, some 100 bytes each
    // A server with more than load_factor x the mean + 1 requests in flight is passed over.
    double load_factor = 1.5;
    // Blocks whose key decides where a prefix that nobody remembers goes. More of them spread
    // prompts that begin alike over the servers.
    size_t hashed_blocks = 1;
};

struct UpstreamOrder {
    std::vector<size_t> upstreams;  // indices, first choice first; no draining ones
    size_t matched_blocks = 0;      // that the first choice is remembered to have
};

// Chooses servers so that prompts which begin alike meet: the server that has the most of a prompt
// comes first, then by rendezvous hashing (Thaler and Ravishankar 1998), so that proxies that know
// nothing of each other agree and only the prefixes of a server that goes move. Bounded loads:
// Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350. Thread-safe.
class PrefixRouter {
public:
    explicit PrefixRouter(const PrefixRouterOptions& options = {});

    // Free servers by how much of the chain they have, then busy ones, then those that are not
    // healthy. An empty chain matches nothing, and goes where there is least to do.
    UpstreamOrder order(std::span<const Key128> chain, std::span<const UpstreamLoad> upstreams)
        EXCLUDES(mutex_);

    // That the server was sent, and now has, the prompt.
    void remember(std::span<const Key128> chain, std::string_view upstream) EXCLUDES(mutex_);

private:
    const PrefixRouterOptions options_;
    Mutex mutex_;
    LruMap<Key128> servers_ GUARDED_BY(mutex_);  // which server had a key last, by its name's hash
};

}  // namespace spolia
