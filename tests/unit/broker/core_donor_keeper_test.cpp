#include "broker/core/donor_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "index/whole_file.h"
#include "tests/support/donor_store.h"
#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using test::ChunkPrompt;
using test::DonorStore;
using test::numbered_text;
using test::with_edit;

class DonorKeeperTest : public testing::Test {
protected:
    void open() {
        keeper_ =
            std::make_unique<DonorKeeper>(text_, DonorStore::kModel, *store_, options_, file_);
        keeper_->settle();
    }
    void close() { keeper_.reset(); }
    // As when a process ends and another one begins.
    void reopen() {
        close();
        store_.close();
        store_.open();
        open();
    }

    void put(const std::string& tenant, const std::string& text) {
        store_.put(tenant, text);
        keeper_->block_changed(DonorStore::scope_of(tenant), DonorStore::key_of(tenant, text));
    }
    // The key of the text that the chunk finds; Key128{}: none.
    Key128 donor_of(const std::string& tenant, const std::string& text) {
        const ChunkPrompt prompt(tenant, text);
        const std::vector<Donor> donors =
            keeper_->find(tenant, prompt.tokens, prompt.segments, store_.residence());
        return donors.empty() ? Key128() : donors[0].text->key;
    }
    bool finds(const std::string& tenant, const std::string& text) {
        const Key128 donor = donor_of(tenant, with_edit(text, text.size() / 2));
        EXPECT_TRUE(donor == Key128() || donor == DonorStore::key_of(tenant, text));
        return donor != Key128();
    }
    void damage(const std::string& bytes) {
        std::ofstream(file_, std::ios::binary | std::ios::trunc) << bytes;
    }

    const test::TestFolder folder_;
    const std::filesystem::path file_ = folder_.path / "model.donors";
    test::SampledTokens sampled_;
    const test::FakeTextModel text_{sampled_};
    DonorOptions options_;
    DonorStore store_{{.ram_bytes_max = 1 << 20, .directory = folder_.path}};
    std::unique_ptr<DonorKeeper> keeper_;
};

const std::string kOne = numbered_text(1, 200), kTwo = numbered_text(2, 200);

TEST_F(DonorKeeperTest, KnowsABlockAsSoonAsItIsThere) {
    open();
    EXPECT_FALSE(finds("", kOne));
    put("", kOne);
    EXPECT_TRUE(finds("", kOne));
    EXPECT_EQ(keeper_->stats().texts, 1u);
    store_->erase(DonorStore::key_of("", kOne));
    EXPECT_FALSE(finds("", kOne)) << "nothing is taken from a block that is gone";
    keeper_->settle();
    EXPECT_EQ(keeper_->stats().texts, 0u);
}

TEST_F(DonorKeeperTest, AllTenantsDonorsComeBack) {
    open();
    put("", kOne);
    put("a", kTwo);
    reopen();
    EXPECT_TRUE(finds("", kOne));
    EXPECT_TRUE(finds("a", kTwo));
    EXPECT_FALSE(finds("", kTwo));
    EXPECT_FALSE(finds("a", kOne));
    EXPECT_TRUE(std::filesystem::exists(file_));
}

TEST_F(DonorKeeperTest, TheyComeBackWithoutTheFile) {
    open();
    put("", kOne);
    put("a", kTwo);
    close();
    std::filesystem::remove(file_);
    testing::internal::CaptureStderr();
    reopen();
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    EXPECT_TRUE(finds("", kOne));
    EXPECT_TRUE(finds("a", kTwo));
}

TEST_F(DonorKeeperTest, WhateverIsDamagedTheyComeBackWithOneWarning) {
    open();
    for (uint64_t i = 0; i < 12; ++i) put(i % 2 == 0 ? "" : "a", numbered_text(i, 150));
    close();
    const std::string bytes = *read_whole_file(file_);
    std::vector<std::string> damaged = {"", "x", bytes + "x"};
    for (size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / 40) {
        damaged.push_back(bytes);
        damaged.back()[at] ^= 0x20;
        damaged.push_back(bytes.substr(0, at));
    }
    for (const std::string& content : damaged) {
        SCOPED_TRACE(content.size());
        close();
        damage(content);
        testing::internal::CaptureStderr();
        reopen();
        const std::string log = testing::internal::GetCapturedStderr();
        EXPECT_EQ(std::ranges::count(log, '\n'), 1) << log;
        EXPECT_THAT(log, testing::HasSubstr(file_.string()));
        EXPECT_EQ(keeper_->stats().texts, 12u);
        for (uint64_t i = 0; i < 12; ++i) {
            ASSERT_TRUE(finds(i % 2 == 0 ? "" : "a", numbered_text(i, 150))) << i;
            ASSERT_FALSE(finds(i % 2 == 0 ? "a" : "", numbered_text(i, 150))) << i;
        }
    }
    close();
    testing::internal::CaptureStderr();
    reopen();
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "the file is whole again";
}

TEST_F(DonorKeeperTest, AFileThatCantBeReadIsServedWithout) {
    std::filesystem::create_directory(file_);
    testing::internal::CaptureStderr();
    open();
    put("", kOne);
    EXPECT_TRUE(finds("", kOne));
    close();
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_EQ(std::ranges::count(log, '\n'), 1) << log;
}

TEST_F(DonorKeeperTest, VectorsWithoutBlocksAndBlocksWithoutVectorsAreMended) {
    open();
    put("", kOne);
    put("a", kTwo);
    close();
    store_->erase(DonorStore::key_of("", kOne));
    const std::string three = numbered_text(3, 200);
    store_.put("a", three);
    reopen();
    EXPECT_FALSE(finds("", kOne));
    EXPECT_TRUE(finds("a", kTwo));
    EXPECT_TRUE(finds("a", three));
    EXPECT_EQ(keeper_->stats().texts, 2u);
    close();
    const DonorIndex index(text_, DonorStore::kModel, options_, file_);
    EXPECT_EQ(index.n_vectors(DonorStore::scope_of("")), 0u);
    EXPECT_EQ(index.n_vectors(DonorStore::scope_of("a")), 2u);
}

TEST_F(DonorKeeperTest, BlocksThatDontSayWhoseTheyAreWaitForTheirTenant) {
    store_.put("", kOne, {});
    store_.put("a", kTwo, {});
    open();
    EXPECT_TRUE(finds("", kOne)) << "the default tenant's, by its key";
    EXPECT_FALSE(finds("a", kTwo));
    donor_of("a", kTwo);
    keeper_->settle();
    EXPECT_TRUE(finds("a", kTwo)) << "its prompts told";
}

TEST_F(DonorKeeperTest, ABlockOfAnotherScopeThanItSaysIsNobodysDonor) {
    store_.put("a", kOne, DonorStore::scope_of("b"));
    open();
    EXPECT_FALSE(finds("a", kOne));
    EXPECT_FALSE(finds("b", kOne));
}

TEST_F(DonorKeeperTest, WhatTheStoreEvictsGoes) {
    DonorStore small({.ram_bytes_max = 20'000});
    keeper_ = std::make_unique<DonorKeeper>(text_, DonorStore::kModel, *small, options_,
                                            std::filesystem::path());
    keeper_->settle();
    for (uint64_t i = 0; i < 100; ++i) {
        const std::string text = numbered_text(i, 100);
        small.put("", text);
        keeper_->block_changed(DonorStore::scope_of(""), DonorStore::key_of("", text));
    }
    ASSERT_GT(small->stats().ram_evictions, 50u);
    keeper_->settle();
    EXPECT_EQ(keeper_->stats().texts, small->stats().ram_blocks);
    keeper_.reset();
}

TEST_F(DonorKeeperTest, OfAllTenantsTheLeastOfUseGoesFirst) {
    options_.texts_max = 3;
    open();
    const std::vector<std::string> tenants = {"", "a", "b", "a"};
    for (uint64_t i = 0; i < 3; ++i) put(tenants[i], numbered_text(i, 100));
    EXPECT_TRUE(finds("", numbered_text(0, 100)));
    donor_of("b", numbered_text(2, 100));  // a prompt has it
    put("a", numbered_text(3, 100));
    EXPECT_EQ(keeper_->stats().texts, 3u);
    EXPECT_FALSE(finds("a", numbered_text(1, 100)));
    for (const uint64_t i : {0, 2, 3}) EXPECT_TRUE(finds(tenants[i], numbered_text(i, 100))) << i;
    close();
    const DonorIndex index(text_, DonorStore::kModel, options_, file_);
    for (const char* tenant : {"", "a", "b"}) {
        EXPECT_EQ(index.n_vectors(DonorStore::scope_of(tenant)), 1u) << tenant;
    }
}

TEST_F(DonorKeeperTest, AfterSoManyChangesItIsSavedWhileItServes) {
    open();
    for (uint64_t i = 0; i < 80; ++i) put("", numbered_text(i, 40));
    keeper_->settle();
    const DonorIndex index(text_, DonorStore::kModel, options_, file_);
    EXPECT_EQ(index.n_vectors(DonorStore::scope_of("")), 80u);
}

TEST_F(DonorKeeperTest, TurnedOffItDoesNothing) {
    options_.enabled = false;
    open();
    put("", kOne);
    keeper_->settle();
    EXPECT_FALSE(finds("", kOne));
    EXPECT_EQ(keeper_->stats().waiting, 0u);
    close();
    EXPECT_FALSE(std::filesystem::exists(file_));
}

// Random texts and versions of them, of random tenants, stored and erased, over restarts with the
// file kept, gone or damaged: whatever is found is the tenant's own, and is there.
TEST_F(DonorKeeperTest, NoTenantsDonorIsEverAnothers) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const std::vector<std::string> tenants = {"", "a", "b", "a b"};
    std::map<std::string, std::set<Key128>> blocks;  // by tenant
    open();
    size_t n_found = 0;
    for (int step = 0; step < 600; ++step) {
        const std::string& tenant = tenants[random() % tenants.size()];
        std::string text = numbered_text(random() % 10, 120);
        text = with_edit(std::move(text), random() % 8 * 10);
        const Key128 key = DonorStore::key_of(tenant, text);
        switch (random() % 6) {
            case 0:
            case 1:
                put(tenant, text);
                blocks[tenant].insert(key);
                break;
            case 2:
                store_->erase(key);
                blocks[tenant].erase(key);
                break;
            default: {
                const Key128 donor = donor_of(tenant, text);
                if (donor == Key128()) break;
                ++n_found;
                ASSERT_TRUE(blocks[tenant].contains(donor));
                ASSERT_FALSE(blocks[tenant].contains(key));
            }
        }
        if (random() % 60 != 0) continue;
        close();
        if (random() % 3 == 0) std::filesystem::remove(file_);
        if (random() % 3 == 0) damage("no index");
        testing::internal::CaptureStderr();
        reopen();
        testing::internal::GetCapturedStderr();
    }
    EXPECT_GT(n_found, 20u);
    keeper_->settle();
    size_t n_blocks = 0;
    for (const auto& [tenant, keys] : blocks) n_blocks += keys.size();
    EXPECT_EQ(keeper_->stats().texts, n_blocks);
}

// Added, erased, searched, swept and saved at once.
TEST_F(DonorKeeperTest, MayBeUsedByManyThreads) {
    options_.texts_max = 24;
    open();
    std::atomic<bool> stop{false};
    std::atomic<int> n_foreign{0};
    std::vector<std::thread> threads;
    for (uint64_t client = 0; client < 3; ++client) {
        threads.emplace_back([&, client] {
            const std::string tenant = client == 0 ? "" : "a";
            std::mt19937_64 random(client);
            for (int i = 0; i < 400; ++i) {
                const std::string text = numbered_text(client * 100 + random() % 20, 80);
                if (random() % 2 == 0) put(tenant, text);
                if (random() % 8 == 0) store_->erase(DonorStore::key_of(tenant, text));
                const Key128 donor = donor_of(tenant, with_edit(text, 40));
                if (donor != Key128() && donor != DonorStore::key_of(tenant, text)) ++n_foreign;
            }
        });
    }
    threads.emplace_back([&] {
        while (!stop) {
            keeper_->settle();
            (void)keeper_->stats();
        }
    });
    for (size_t i = 0; i < 3; ++i) threads[i].join();
    stop = true;
    threads.back().join();
    EXPECT_EQ(n_foreign, 0);
    EXPECT_TRUE(std::filesystem::exists(file_)) << "saved meanwhile";
    EXPECT_LE(keeper_->stats().texts, 24u);
    reopen();
    EXPECT_LE(keeper_->stats().texts, 24u);
}

}  // namespace
}  // namespace spolia
