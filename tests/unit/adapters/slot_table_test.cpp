#include "adapters/llama_server/slot_table.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

namespace spolia {
namespace {

using Tokens = std::vector<Token>;
using Clock = std::chrono::steady_clock;

const Tokens kShort = {1, 2, 3};
const Tokens kLong = {1, 2, 3, 4, 5};
const Tokens kOther = {9, 8};

std::optional<SlotLease> take(SlotTable& table, const Tokens& prompt, std::string tenant = "a") {
    return table.take(prompt, std::move(tenant), Clock::now());
}

int32_t use(SlotTable& table, const Tokens& prompt, std::string tenant = "a") {
    std::optional<SlotLease> lease = take(table, prompt, std::move(tenant));
    lease->settle(prompt, static_cast<int32_t>(prompt.size()));
    return lease->slot();
}

TEST(SlotTable, GivesEachSlotToOne) {
    SlotTable table(2);
    std::optional<SlotLease> first = take(table, kShort);
    const std::optional<SlotLease> second = take(table, kShort);
    ASSERT_TRUE(first && second);
    EXPECT_NE(first->slot(), second->slot());
    EXPECT_FALSE(take(table, kShort));
    EXPECT_EQ(table.n_taken(), 2);
    const int32_t slot = first->slot();
    first.reset();
    EXPECT_EQ(take(table, kShort)->slot(), slot);
}

TEST(SlotTable, PrefersWhatHoldsMostOfThePrompt) {
    SlotTable table(3);
    const int32_t of_short = use(table, kShort);
    const int32_t of_other = use(table, kOther);
    ASSERT_NE(of_short, of_other);
    const std::optional<SlotLease> lease = take(table, kLong);
    EXPECT_EQ(lease->slot(), of_short);
    EXPECT_EQ(lease->n_held(), 3);
}

TEST(SlotTable, TakesTheLongestIdleAmongEquals) {
    SlotTable table(2);
    const int32_t first = use(table, kOther);
    const int32_t second = use(table, {7});
    EXPECT_NE(first, second);
    EXPECT_EQ(take(table, kShort)->slot(), first);
}

TEST(SlotTable, KeepsTenantsApart) {
    SlotTable table(1);
    use(table, kLong, "a");
    std::optional<SlotLease> foreign = take(table, kLong, "b");
    EXPECT_EQ(foreign->n_held(), 0);
    EXPECT_TRUE(foreign->must_clear());
    foreign->settle(kLong, 5);
    foreign.reset();
    EXPECT_EQ(take(table, kLong, "b")->n_held(), 5);
}

TEST(SlotTable, CountsOnExactRowsOnly) {
    SlotTable table(1);
    take(table, kLong)->settle(kLong, 2);
    std::optional<SlotLease> lease = take(table, kShort);
    EXPECT_EQ(lease->n_held(), 2);
    EXPECT_TRUE(lease->must_clear());
    lease->settle(kLong, 2);
    lease.reset();
    // Whatever comes next: servers keep what a slot held before.
    EXPECT_TRUE(take(table, {9})->must_clear());
}

TEST(SlotTable, ClearsWhatNobodyKnows) {
    SlotTable table(1);
    EXPECT_TRUE(take(table, kLong)->must_clear()) << "of a server that ran before";
    use(table, kLong);
    std::optional<SlotLease> lease = take(table, kLong);
    EXPECT_FALSE(lease->must_clear());
    lease->touch();
    lease.reset();
    EXPECT_TRUE(take(table, kLong)->must_clear()) << "that lease was not settled";
    use(table, kLong);
    table.forget_all();
    EXPECT_TRUE(take(table, kLong)->must_clear());
}

TEST(SlotTable, KeepsTheSlotOfPromptsThatItCannotSee) {
    SlotTable table(3);
    std::optional<SlotLease> lease = take(table, {});
    const int32_t slot = lease->slot();
    lease->settle_unseen();
    lease.reset();
    use(table, kLong);
    const std::optional<SlotLease> again = take(table, {});
    EXPECT_EQ(again->slot(), slot);
    EXPECT_FALSE(again->must_clear());
    EXPECT_NE(take(table, {}, "b")->slot(), slot);
}

TEST(SlotTable, CountsOnNothingThatWasNotSettled) {
    SlotTable table(1);
    use(table, kLong);
    take(table, kLong)->touch();
    EXPECT_EQ(take(table, kLong)->n_held(), 0);
    use(table, kLong);
    table.forget_all();
    EXPECT_EQ(take(table, kLong)->n_held(), 0);
}

TEST(SlotTable, WaitsForASlot) {
    SlotTable table(1);
    std::optional<SlotLease> held = take(table, kShort);
    std::promise<void> waiting;
    std::future<int32_t> slot = std::async(std::launch::async, [&] {
        waiting.set_value();
        const auto lease = table.take(kShort, "a", Clock::now() + std::chrono::hours(1));
        return lease ? lease->slot() : -1;
    });
    waiting.get_future().wait();
    held.reset();
    EXPECT_EQ(slot.get(), 0);
}

TEST(SlotTable, StopsWaitingWhenNobodyWaitsAnyMore) {
    SlotTable table(1);
    const std::optional<SlotLease> held = take(table, kShort);
    std::stop_source stop;
    const auto far = Clock::now() + std::chrono::hours(1);
    std::future<bool> taken = std::async(std::launch::async, [&] {
        return table.take(kShort, "a", far, stop.get_token()).has_value();
    });
    while (table.n_waiting() == 0) std::this_thread::yield();
    stop.request_stop();
    EXPECT_FALSE(taken.get());
    const auto composed = table.take_composed("b", far, stop.get_token());
    ASSERT_FALSE(composed.ok());
    EXPECT_EQ(composed.error().code, ErrorCode::kCancelled);
}

std::optional<SlotLease> take_composed(SlotTable& table, std::string tenant = "a") {
    auto lease = table.take_composed(std::move(tenant), Clock::now());
    EXPECT_TRUE(lease.ok());
    return lease.ok() ? *std::move(lease) : std::nullopt;
}

void clear_all(SlotTable& table, const std::string& tenant = "a") {
    while (std::optional<SlotLease> lease = take_composed(table, tenant)) lease->settle_unseen();
}

TEST(SlotTable, LeavesSlotsAsTheyWereThatNobodyTouched) {
    SlotTable table(1);
    use(table, kLong);
    take(table, kOther).reset();
    EXPECT_EQ(take(table, kLong)->n_held(), 5);
    take(table, kOther, "b").reset();
    std::optional<SlotLease> lease = take(table, kLong);
    EXPECT_EQ(lease->n_held(), 5);
    EXPECT_FALSE(lease->must_clear());
    lease->touch();
    lease.reset();
    EXPECT_TRUE(take(table, kLong)->must_clear()) << "nobody knows";
}

TEST(SlotTable, NamesWhatMustBeClearedBeforeTheServerChooses) {
    SlotTable table(2);
    EXPECT_TRUE(take_composed(table)) << "of one who was here before";
    clear_all(table);
    EXPECT_FALSE(take_composed(table));
    EXPECT_FALSE(table.take_foreign("a"));

    use(table, kLong, "b");
    EXPECT_FALSE(take_composed(table));
    EXPECT_TRUE(table.take_foreign("a"));
    const SlotChoice first = table.choose("a");
    EXPECT_TRUE(table.take_foreign("a"));
    const SlotChoice second = table.choose("a");
    EXPECT_FALSE(table.take_foreign("a")) << "the first one may be in that slot";

    std::optional<SlotLease> busy = take(table, kShort, "a");
    busy->touch();
    EXPECT_FALSE(take_composed(table)) << "computed, busy or not";
}

TEST(SlotTable, FillsNothingWhileTheServerChooses) {
    SlotTable table(2);
    clear_all(table);
    std::optional<SlotLease> lease = take(table, kLong);
    std::optional<SlotChoice> choice = table.choose("a");
    EXPECT_FALSE(lease->begin_fill());
    EXPECT_FALSE(take_composed(table)) << "the lease's slot is as clean as before";
    EXPECT_TRUE(take(table, kShort, "b")) << "others need not wait";
    choice.reset();
    EXPECT_TRUE(lease->begin_fill());
    const auto busy = table.take_composed("a", Clock::now());
    ASSERT_FALSE(busy.ok());
    EXPECT_EQ(busy.error().code, ErrorCode::kOverloaded);
    lease->settle(kLong, 2);
    lease.reset();
    EXPECT_TRUE(take_composed(table));
}

TEST(SlotTable, ForgetsWhatTheServerMayHaveReplaced) {
    SlotTable table(2);
    clear_all(table);
    use(table, kLong);
    { const SlotChoice unsent = table.choose("b"); }
    EXPECT_EQ(take(table, kLong)->n_held(), 5);
    { table.choose("a").send(); }
    {
        const std::optional<SlotLease> lease = take(table, kLong);
        EXPECT_EQ(lease->n_held(), 0);
        EXPECT_FALSE(lease->must_clear()) << "whatever it is, the server computed it for a";
    }
    { table.choose("b").send(); }
    EXPECT_TRUE(take(table, kLong)->must_clear());
}

}  // namespace
}  // namespace spolia
