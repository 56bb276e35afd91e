#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/core_harness.h"

namespace spolia {
namespace {

using test::CoreHarness;
using test::Part;
using test::words;

// What one client thread does: random requests, cancellations, registrations and look-ups.
void play_client(Service& service, CoreHarness& core, uint64_t seed, int rounds,
                 const std::vector<GenerateRequest>& requests,
                 std::vector<std::shared_ptr<test::RecordingSink>>& sinks) {
    std::mt19937_64 random(seed);
    GenerationId last = 0;
    for (int round = 0; round < rounds; ++round) {
        switch (random() % 8) {
            case 0: service.cancel(last); break;
            case 1: service.cancel(random() % 200); break;
            case 2: (void)service.plan(requests[random() % requests.size()]); break;
            case 3: {
                const std::string text = words(static_cast<uint32_t>(random() % 8), 60);
                service.put_chunk("a", "doc", text, [](Result<std::vector<ChunkInfo>>) {});
                for (const ChunkInfo& info : service.list_chunks("a")) {
                    if (random() % 4 == 0) service.delete_chunk("a", info.key);
                }
                break;
            }
            case 4:
                (void)service.metrics_text();
                if (random() % 4 == 0) core.control.prefills_to_fail = 1;
                if (random() % 8 == 0) core.control.decodes_to_fail = 1;
                if (random() % 4 == 0) core.control.encodes_to_fail = 1;
                break;
            default: {
                GenerateRequest request = requests[random() % requests.size()];
                request.sampling.seed.reset();
                request.tokens_max = static_cast<int32_t>(random() % 12);
                auto sink = std::make_shared<test::RecordingSink>();
                const auto id = service.submit(std::move(request), sink);
                if (id) {
                    last = *id;
                    sinks.push_back(sink);
                } else {
                    EXPECT_EQ(id.error().code, ErrorCode::kOverloaded);
                }
                if (id && random() % 2 == 0) {
                    EXPECT_TRUE(sink->wait());
                }
            }
        }
    }
}

TEST(CoreStress, EveryRequestEndsOnceAndReceiptsAddUp) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    CoreHarness core;
    core.options.queue_max = 8;
    core.options.encode_queue_max = 4;
    core.options.store.ram_bytes_max = 60 * 1024;
    core.open();
    std::vector<GenerateRequest> requests;
    for (int i = 0; i < 24; ++i) {
        std::vector<Part> parts;
        for (uint64_t n = 1 + random() % 5; n > 0; --n) {
            parts.push_back({random() % 3 > 0 ? SegmentRole::kChunk : SegmentRole::kFixed,
                             words(static_cast<uint32_t>(random() % 8), 10 + random() % 100)});
        }
        const Fidelity fidelity[] = {Fidelity::kExact, Fidelity::kGuarded, Fidelity::kFast};
        requests.push_back(core.request(parts, 0, fidelity[random() % 3]));
        requests.back().reuse.max_kl = 10;  // so that some are served
        if (random() % 2 == 0) requests.back().tenant = "a";
    }
    constexpr int kClients = 4;
    std::vector<std::vector<std::shared_ptr<test::RecordingSink>>> sinks(kClients);
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i) {
        clients.emplace_back([&, i, client_seed = random()] {
            play_client(core.service(), core, client_seed, 150, requests, sinks[i]);
        });
    }
    for (std::thread& client : clients) client.join();
    core.reopen();  // cancels what is still under way
    int n_served = 0;
    for (const auto& list : sinks) {
        for (const auto& sink : list) {
            ASSERT_TRUE(sink->wait());
            EXPECT_EQ(sink->misplaced_events(), 0);
            EXPECT_NE(sink->outcome().has_value(), sink->error().has_value());
            const auto receipt = sink->receipt();
            if (!receipt) continue;
            ++n_served;
            EXPECT_EQ(test::n_accounted(*receipt), receipt->n_prompt);
        }
    }
    EXPECT_GT(n_served, 0);
    EXPECT_EQ(core.service().stats().sequences_busy, 0);
}

}  // namespace
}  // namespace spolia
