#include "adapters/openai/prefix_router.h"

#include <algorithm>
#include <tuple>

namespace spolia {
namespace {

enum class Rank : uint8_t { kFree, kBusy, kUnhealthy, kDraining };

struct Candidate {
    size_t index = 0;
    Rank rank = Rank::kFree;
    size_t matched_blocks = 0;
    int32_t in_flight = 0;
    uint64_t weight = 0;  // of the rendezvous

    // Servers that are busy anyway: the least busy first.
    auto place(bool by_load) const {
        const int32_t load = by_load || rank == Rank::kBusy ? in_flight : 0;
        return std::tuple(rank, load, -static_cast<int64_t>(matched_blocks), ~weight, index);
    }
};

uint64_t rendezvous_weight(const Key128& prefix, const Key128& server) {
    const uint64_t words[] = {prefix.high, prefix.low, server.high, server.low};
    return hash_bytes(std::as_bytes(std::span(words))).low;
}

double load_limit(std::span<const UpstreamLoad> upstreams, double load_factor) {
    int64_t usable = 0;
    int64_t in_flight = 0;
    for (const UpstreamLoad& upstream : upstreams) {
        if (!upstream.healthy || upstream.draining) continue;
        ++usable;
        in_flight += upstream.in_flight;
    }
    if (usable == 0) return 0;
    return load_factor * static_cast<double>(in_flight) / static_cast<double>(usable) + 1;
}

Rank rank_of(const UpstreamLoad& upstream, double limit) {
    if (upstream.draining) return Rank::kDraining;
    if (!upstream.healthy) return Rank::kUnhealthy;
    return upstream.in_flight > limit ? Rank::kBusy : Rank::kFree;
}

}  // namespace

PrefixRouter::PrefixRouter(const PrefixRouterOptions& options)
    : options_(options), servers_(options.entries_max) {}

UpstreamOrder PrefixRouter::order(std::span<const Key128> chain,
                                  std::span<const UpstreamLoad> upstreams) {
    const double limit = load_limit(upstreams, options_.load_factor);
    const size_t hashed = std::min(options_.hashed_blocks, chain.size());
    const Key128 prefix = hashed > 0 ? chain[hashed - 1] : Key128{};
    std::vector<Candidate> candidates;
    std::vector<Key128> names;
    for (size_t i = 0; i < upstreams.size(); ++i) {
        names.push_back(hash_text(upstreams[i].name));
        candidates.push_back({i, rank_of(upstreams[i], limit), 0, upstreams[i].in_flight,
                              rendezvous_weight(prefix, names[i])});
    }
    {
        MutexLock lock(mutex_);
        for (size_t depth = 1; depth <= chain.size(); ++depth) {
            const Key128* server = servers_.find(chain[depth - 1]);
            if (server == nullptr) continue;
            const auto found = std::find(names.begin(), names.end(), *server);
            if (found == names.end()) continue;
            candidates[static_cast<size_t>(found - names.begin())].matched_blocks = depth;
        }
    }
    std::sort(candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
        return a.place(chain.empty()) < b.place(chain.empty());
    });
    UpstreamOrder order;
    for (const Candidate& candidate : candidates) {
        if (candidate.rank == Rank::kDraining) continue;
        if (order.upstreams.empty()) order.matched_blocks = candidate.matched_blocks;
        order.upstreams.push_back(candidate.index);
    }
    return order;
}

void PrefixRouter::remember(std::span<const Key128> chain, std::string_view upstream) {
    const Key128 server = hash_text(upstream);
    MutexLock lock(mutex_);
    // From the end: of a chain the front is what others share, and is to be forgotten last.
    for (size_t depth = std::min(chain.size(), options_.entries_max); depth > 0; --depth) {
        servers_.touch(chain[depth - 1]) = server;
    }
}

}  // namespace spolia
