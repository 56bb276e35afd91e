#include "broker/http/name_lookup.h"

#include <future>

#include <gtest/gtest.h>

namespace spolia {
namespace {

FoundAddresses look_up(const std::shared_ptr<NameLookup>& names) {
    std::promise<FoundAddresses> found;
    names->ask([&](FoundAddresses each) { found.set_value(std::move(each)); });
    return found.get_future().get();
}

TEST(NameLookup, TakesAddressesAsTheyAre) {
    for (const char* address : {"127.0.0.1", "::1"}) {
        const FoundAddresses found = look_up(std::make_shared<NameLookup>(address, 80));
        ASSERT_EQ(found.endpoints.size(), 1u);
        EXPECT_EQ(found.endpoints[0].address().to_string(), address);
        EXPECT_EQ(found.endpoints[0].port(), 80);
    }
}

TEST(NameLookup, AnswersAllWhoAsk) {
    const auto names = std::make_shared<NameLookup>("localhost", 8080);
    std::vector<std::promise<FoundAddresses>> found(16);
    for (auto& each : found) {
        names->ask([&](FoundAddresses addresses) { each.set_value(std::move(addresses)); });
    }
    for (auto& each : found) {
        const FoundAddresses addresses = each.get_future().get();
        EXPECT_FALSE(addresses.error);
        ASSERT_FALSE(addresses.endpoints.empty());
        EXPECT_EQ(addresses.endpoints[0].port(), 8080);
    }
}

TEST(NameLookup, SaysThatThereIsNoSuchName) {
    const auto names = std::make_shared<NameLookup>("no-such-host.invalid", 80);
    for (int i = 0; i < 2; ++i) {
        const FoundAddresses found = look_up(names);
        EXPECT_TRUE(found.error);
        EXPECT_TRUE(found.endpoints.empty());
    }
}

// The look-up may take longer than anybody waits.
TEST(NameLookup, OutlivesWhoAsked) {
    std::promise<void> done;
    std::make_shared<NameLookup>("localhost", 1)->ask([&](FoundAddresses) { done.set_value(); });
    done.get_future().wait();
}

}  // namespace
}  // namespace spolia
