#include "adapters/openai/prefix_router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <thread>

namespace spolia {
namespace {

std::vector<UpstreamLoad> servers(int n) {
    std::vector<UpstreamLoad> upstreams;
    for (int i = 0; i < n; ++i) upstreams.push_back({"http://server-" + std::to_string(i)});
    return upstreams;
}

std::vector<Key128> chain(uint64_t id, int blocks = 1) {
    std::vector<Key128> keys;
    for (int i = 0; i < blocks; ++i) {
        keys.push_back(hash_text(std::to_string(id) + "/" + std::to_string(i)));
    }
    return keys;
}

TEST(PrefixRouterTest, SpreadsPrefixesEvenly) {
    PrefixRouter router;
    const auto upstreams = servers(5);
    std::vector<int> counts(5);
    for (uint64_t id = 0; id < 20000; ++id)
        ++counts[router.order(chain(id), upstreams).upstreams[0]];
    for (const int count : counts) EXPECT_NEAR(count, 4000, 400);
}

TEST(PrefixRouterTest, OnlyPrefixesOfTheServerThatGoesMove) {
    PrefixRouter router;
    const auto all = servers(5);
    auto fewer = all;
    fewer.erase(fewer.begin() + 2);
    int moved = 0;
    for (uint64_t id = 0; id < 2000; ++id) {
        const UpstreamOrder before = router.order(chain(id), all);
        const std::string& next = fewer[router.order(chain(id), fewer).upstreams[0]].name;
        const bool gone = before.upstreams[0] == 2;
        moved += gone;
        EXPECT_EQ(next, all[before.upstreams[gone ? 1 : 0]].name);
    }
    EXPECT_GT(moved, 0);
}

TEST(PrefixRouterTest, ProxiesAgreeWhateverTheOrderOfTheirServers) {
    PrefixRouter one, other;
    const auto upstreams = servers(7);
    const std::vector<UpstreamLoad> reversed(upstreams.rbegin(), upstreams.rend());
    for (uint64_t id = 0; id < 500; ++id) {
        EXPECT_EQ(upstreams[one.order(chain(id), upstreams).upstreams[0]].name,
                  reversed[other.order(chain(id), reversed).upstreams[0]].name);
    }
}

TEST(PrefixRouterTest, TheDeepestMatchComesFirst) {
    PrefixRouter router;
    const auto upstreams = servers(4);
    const auto keys = chain(1, 6);
    router.remember(keys, upstreams[3].name);
    router.remember(std::span(keys).first(2), upstreams[1].name);
    const UpstreamOrder order = router.order(keys, upstreams);
    EXPECT_EQ(order.upstreams[0], 3u);
    EXPECT_EQ(order.upstreams[1], 1u);
    EXPECT_EQ(order.matched_blocks, 6u);
    EXPECT_EQ(router.order(std::span(keys).first(2), upstreams).upstreams[0], 1u);
}

TEST(PrefixRouterTest, RequestsStayWithTheirServer) {
    PrefixRouter router;
    auto upstreams = servers(3);
    const auto keys = chain(7, 20);
    const size_t first = router.order(keys, upstreams).upstreams[0];
    for (size_t turn = 1; turn <= keys.size(); ++turn) {
        upstreams.push_back({"http://late-" + std::to_string(turn)});
        const auto prompt = std::span(keys).first(turn);
        const UpstreamOrder order = router.order(prompt, upstreams);
        if (turn > 1) {
            EXPECT_EQ(order.upstreams[0], first);
        }
        EXPECT_EQ(order.matched_blocks, turn - 1);
        router.remember(prompt, upstreams[first].name);
    }
}

TEST(PrefixRouterTest, DrainingNeverUnhealthyLast) {
    PrefixRouter router;
    auto upstreams = servers(4);
    const auto keys = chain(3, 3);
    router.remember(keys, upstreams[0].name);
    upstreams[0].draining = true;
    upstreams[2].healthy = false;
    const UpstreamOrder order = router.order(keys, upstreams);
    ASSERT_EQ(order.upstreams.size(), 3u);
    EXPECT_EQ(order.upstreams.back(), 2u);
    EXPECT_EQ(std::count(order.upstreams.begin(), order.upstreams.end(), 0u), 0);
    EXPECT_EQ(order.matched_blocks, 0u);
    for (UpstreamLoad& upstream : upstreams) upstream.draining = true;
    EXPECT_TRUE(router.order(keys, upstreams).upstreams.empty());
}

TEST(PrefixRouterTest, OneHotPrefixOverloadsNoServer) {
    const uint64_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    PrefixRouter router;
    auto upstreams = servers(4);
    const auto keys = chain(5, 4);
    int total = 0;
    for (int i = 0; i < 5000; ++i) {
        if (total < 60 || random() % 2 == 0) {
            const size_t chosen = router.order(keys, upstreams).upstreams[0];
            EXPECT_LE(upstreams[chosen].in_flight, 1.5 * total / 4 + 1);
            ++upstreams[chosen].in_flight;
            ++total;
            router.remember(keys, upstreams[chosen].name);
        } else {
            UpstreamLoad& done = upstreams[random() % upstreams.size()];
            total -= done.in_flight > 0;
            done.in_flight -= done.in_flight > 0;
        }
    }
}

TEST(PrefixRouterTest, WithoutAPrefixTheIdleServerIsFirst) {
    PrefixRouter router;
    auto upstreams = servers(3);
    upstreams[0].in_flight = 2;
    upstreams[2].in_flight = 1;
    EXPECT_EQ(router.order({}, upstreams).upstreams, (std::vector<size_t>{1, 2, 0}));
}

// The header's rules word by word, with a table that is a list of pairs.
class NaiveRouter {
public:
    explicit NaiveRouter(size_t entries_max) : entries_max_(entries_max) {}

    size_t first_choice(std::span<const Key128> keys, const std::vector<UpstreamLoad>& upstreams) {
        double mean = 0, usable = 0;
        for (const UpstreamLoad& upstream : upstreams) {
            if (upstream.healthy && !upstream.draining) mean += upstream.in_flight, ++usable;
        }
        const double limit = usable > 0 ? 1.5 * mean / usable + 1 : 0;
        for (size_t depth = keys.size(); depth > 0; --depth) {
            const auto entry = std::find_if(table_.begin(), table_.end(), [&](const auto& pair) {
                return pair.first == keys[depth - 1];
            });
            if (entry == table_.end()) continue;
            for (size_t i = 0; i < upstreams.size(); ++i) {
                const UpstreamLoad& upstream = upstreams[i];
                if (upstream.name == entry->second && upstream.healthy && !upstream.draining &&
                    upstream.in_flight <= limit) {
                    return i;
                }
            }
        }
        return upstreams.size();
    }

    void remember(std::span<const Key128> keys, const std::string& name) {
        for (size_t depth = keys.size(); depth > 0; --depth) {
            std::erase_if(table_, [&](const auto& pair) { return pair.first == keys[depth - 1]; });
            table_.insert(table_.begin(), {keys[depth - 1], name});
        }
        if (table_.size() > entries_max_) table_.resize(entries_max_);
    }

private:
    const size_t entries_max_;
    std::vector<std::pair<Key128, std::string>> table_;
};

TEST(PrefixRouterTest, RemembersAsAListOfPairsWould) {
    const uint64_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    PrefixRouter router({.entries_max = 40, .load_factor = 1.5, .hashed_blocks = 1});
    NaiveRouter naive(40);
    auto upstreams = servers(4);
    int matches = 0;
    for (int i = 0; i < 5000; ++i) {
        UpstreamLoad& changed = upstreams[random() % upstreams.size()];
        changed.in_flight = static_cast<int32_t>(random() % 6);
        changed.healthy = random() % 8 != 0;
        changed.draining = random() % 8 == 0;
        const auto all = chain(random() % 12, 8);
        const auto keys = std::span(all).first(1 + random() % 8);
        const size_t expected = naive.first_choice(keys, upstreams);
        const UpstreamOrder order = router.order(keys, upstreams);
        if (expected < upstreams.size()) {
            ++matches;
            ASSERT_EQ(order.upstreams.at(0), expected);
        } else if (!order.upstreams.empty() && upstreams[order.upstreams[0]].healthy) {
            const auto free = std::count_if(upstreams.begin(), upstreams.end(), [](const auto& u) {
                return u.healthy && !u.draining && u.in_flight == 0;
            });
            if (free > 0) {
                ASSERT_EQ(order.matched_blocks, 0u);
            }
        }
        if (order.upstreams.empty()) continue;
        router.remember(keys, upstreams[order.upstreams[0]].name);
        naive.remember(keys, upstreams[order.upstreams[0]].name);
    }
    EXPECT_GT(matches, 500);
}

TEST(PrefixRouterTest, ThreadsShareIt) {
    PrefixRouter router({.entries_max = 64, .load_factor = 1.5, .hashed_blocks = 1});
    const auto upstreams = servers(3);
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (uint64_t i = 0; i < 500; ++i) {
                const auto keys = chain(i * 4 + t, 5);
                router.remember(keys, upstreams[i % 3].name);
                EXPECT_EQ(router.order(keys, upstreams).upstreams.size(), 3u);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace spolia
