#include "reuse/block_store.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <list>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "reuse/block_file.h"
#include "tests/unit/reuse/store_fixture.h"

namespace spolia {
namespace {

using test::block_path;
using test::is_block;
using test::key_of;
using test::kLayout;
using test::kModel;
using test::make_block;
using test::meta_of;
using test::TempDirectory;
using test::tokens_of;

std::unique_ptr<BlockStore> open_store(const BlockStoreOptions& options) {
    auto store = BlockStore::open(options, kModel, kLayout);
    EXPECT_TRUE(store.ok()) << store.error().message;
    return std::move(store).value();
}

uint64_t ram_bytes_of(uint64_t id) { return KvBlock::bytes_total(meta_of(id)); }

// Room for blocks 0 .. n - 1 and not a byte more.
uint64_t room_for(uint64_t n) {
    uint64_t bytes = 0;
    for (uint64_t id = 0; id < n; ++id) {
        bytes += ram_bytes_of(id);
    }
    return bytes;
}

bool holds(BlockStore& store, uint64_t id, uint64_t version = 0) {
    const BlockPin pin = store.find(key_of(id), tokens_of(id));
    return pin && is_block(*pin, id, version);
}

void put(BlockStore& store, uint64_t id, uint64_t version = 0,
         Provenance provenance = Provenance::kIsolated) {
    ASSERT_TRUE(store.insert(make_block(id, version, provenance)).ok());
}

TEST(BlockStore, FindsWhatWasInserted) {
    const auto store = open_store({});
    EXPECT_FALSE(store->find(key_of(1), tokens_of(1)));
    put(*store, 1);
    EXPECT_TRUE(holds(*store, 1));
    EXPECT_EQ(store->where(key_of(1), tokens_of(1)), Tier::kRam);
    EXPECT_EQ(store->where(key_of(2), tokens_of(2)), std::nullopt);
    const BlockStoreStats stats = store->stats();
    EXPECT_EQ(stats.ram_blocks, 1u);
    EXPECT_EQ(stats.ram_bytes, ram_bytes_of(1));
    EXPECT_EQ(stats.pinned_blocks, 0u);
}

TEST(BlockStore, BelievesTokensNotKeys) {
    const TempDirectory directory;
    const BlockStoreOptions options{.directory = directory.path()};
    {
        const auto store = open_store(options);
        put(*store, 1);
        EXPECT_FALSE(store->find(key_of(1), tokens_of(2)));
        EXPECT_EQ(store->where(key_of(1), tokens_of(2)), std::nullopt);
    }
    const auto store = open_store(options);
    EXPECT_FALSE(store->find(key_of(1), tokens_of(2)));
    EXPECT_EQ(store->where(key_of(1), tokens_of(2)), std::nullopt);
    EXPECT_EQ(store->stats().files_set_aside, 0u);
    EXPECT_TRUE(holds(*store, 1));
}

TEST(BlockStore, EvictsTheLeastRecentlyUsed) {
    const auto store = open_store({.ram_bytes_max = room_for(5)});
    for (uint64_t id = 0; id < 5; ++id) {
        put(*store, id);
    }
    EXPECT_TRUE(holds(*store, 0));
    put(*store, 6);  // as large as block 1
    EXPECT_TRUE(holds(*store, 0));
    EXPECT_FALSE(holds(*store, 1));
    EXPECT_TRUE(holds(*store, 2));
    EXPECT_TRUE(holds(*store, 6));
    EXPECT_EQ(store->stats().ram_evictions, 1u);
}

TEST(BlockStore, PinsOutliveEvictionErasureAndReplacement) {
    const auto store = open_store({.ram_bytes_max = room_for(3)});
    put(*store, 0);
    BlockPin first = store->find(key_of(0), tokens_of(0));
    put(*store, 1);
    put(*store, 2);
    put(*store, 6);  // evicts block 1, since 0 is pinned
    EXPECT_FALSE(holds(*store, 1));
    EXPECT_TRUE(is_block(*first, 0));

    put(*store, 0, 9);
    EXPECT_TRUE(is_block(*first, 0, 0));
    EXPECT_TRUE(holds(*store, 0, 9));
    BlockPin second = store->find(key_of(0), tokens_of(0));
    EXPECT_TRUE(store->erase(key_of(0)));
    EXPECT_FALSE(store->erase(key_of(0)));
    EXPECT_FALSE(store->find(key_of(0), tokens_of(0)));
    EXPECT_TRUE(is_block(*second, 0, 9));
    EXPECT_EQ(store->stats().pinned_blocks, 2u);

    const BlockPin moved = std::move(second);
    first = BlockPin();
    EXPECT_FALSE(second);
    EXPECT_TRUE(is_block(*moved, 0, 9));
    EXPECT_EQ(store->stats().pinned_blocks, 1u);
}

TEST(BlockStore, RefusesABlockThatPinsLeaveNoRoomFor) {
    const auto store = open_store({.ram_bytes_max = room_for(2)});
    std::vector<BlockPin> pins;
    for (uint64_t id = 0; id < 2; ++id) {
        auto pin = store->insert(make_block(id));
        ASSERT_TRUE(pin.ok());
        pins.push_back(std::move(pin).value());
    }
    const auto refused = store->insert(make_block(2));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
    pins.clear();
    EXPECT_TRUE(store->insert(make_block(2)).ok());
}

TEST(BlockStore, RefusesBlocksOfOtherModelsAndLayouts) {
    const auto store = open_store({});
    BlockMeta other_model = meta_of(1);
    other_model.model = {9, 9};
    BlockMeta other_layout = meta_of(1);
    other_layout.layout.n_layer = 3;
    BlockMeta no_rows = meta_of(1);
    no_rows.tokens.clear();
    for (const BlockMeta& meta : {other_model, other_layout, no_rows}) {
        const auto refused = store->insert(std::make_unique<KvBlock>(meta));
        ASSERT_FALSE(refused.ok());
        EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    }
}

TEST(BlockStore, KeepsTheBetterProvenance) {
    const TempDirectory directory;
    const BlockStoreOptions options{.directory = directory.path()};
    {
        const auto store = open_store(options);
        put(*store, 1, 1, Provenance::kContextual);
        put(*store, 1, 2, Provenance::kIsolated);
        auto kept = store->insert(make_block(1, 3, Provenance::kApproximate));
        ASSERT_TRUE(kept.ok());
        EXPECT_TRUE(is_block(**kept, 1, 2));
    }
    const auto store = open_store(options);
    auto kept = store->insert(make_block(1, 4, Provenance::kApproximate));
    ASSERT_TRUE(kept.ok());
    EXPECT_TRUE(is_block(**kept, 1, 2));
    put(*store, 1, 5, Provenance::kIsolated);
    EXPECT_TRUE(holds(*store, 1, 5));
}

TEST(BlockStore, FindsBlocksAgainWhenReopened) {
    const TempDirectory directory;
    const BlockStoreOptions options{.directory = directory.path()};
    {
        const auto store = open_store(options);
        for (uint64_t id = 0; id < 20; ++id) {
            put(*store, id, 1);
            put(*store, id, 2);
        }
    }
    const auto store = open_store(options);
    EXPECT_EQ(store->stats().disk_blocks, 20u);
    EXPECT_EQ(store->stats().ram_blocks, 0u);
    for (uint64_t id = 0; id < 20; ++id) {
        EXPECT_EQ(store->where(key_of(id), tokens_of(id)), Tier::kDisk);
        EXPECT_TRUE(holds(*store, id, 2));
        EXPECT_EQ(store->where(key_of(id), tokens_of(id)), Tier::kRam);
    }
    EXPECT_EQ(store->stats().last_disk_error, "");
}

TEST(BlockStore, ErasesFromAllTiers) {
    const TempDirectory directory;
    const BlockStoreOptions options{.directory = directory.path()};
    {
        const auto store = open_store(options);
        put(*store, 1);
        put(*store, 2);
        store->flush();
        EXPECT_TRUE(store->erase(key_of(1)));
        put(*store, 3);
        EXPECT_TRUE(store->erase(key_of(3)));  // perhaps before it was written
    }
    const auto store = open_store(options);
    EXPECT_FALSE(holds(*store, 1));
    EXPECT_TRUE(holds(*store, 2));
    EXPECT_FALSE(holds(*store, 3));
    EXPECT_TRUE(store->erase(key_of(2)));
    EXPECT_FALSE(std::filesystem::exists(block_path(directory.path(), 2)));
}

TEST(BlockStore, LosesNothingWhenRamIsSmallerThanTheQueue) {
    const TempDirectory directory;
    const auto store = open_store({.ram_bytes_max = room_for(3), .directory = directory.path()});
    for (uint64_t id = 0; id < 25; ++id) {
        put(*store, id);
        EXPECT_LE(store->stats().ram_bytes, room_for(3));
    }
    for (uint64_t id = 0; id < 25; ++id) {
        EXPECT_TRUE(holds(*store, id)) << id;
    }
    store->flush();
    EXPECT_EQ(store->stats().disk_blocks, 25u);
    EXPECT_EQ(store->stats().disk_writes_dropped, 0u);
}

TEST(BlockStore, KeepsTheDiskBudget) {
    const TempDirectory directory;
    uint64_t bytes_max = 0;
    for (uint64_t id = 0; id < 5; ++id) {
        bytes_max += block_file_bytes(meta_of(id));
    }
    BlockStoreOptions options{.directory = directory.path(), .disk_bytes_max = bytes_max};
    {
        const auto store = open_store(options);
        for (uint64_t id = 0; id < 5; ++id) {
            put(*store, id);
            store->flush();
        }
        EXPECT_TRUE(holds(*store, 0));  // in RAM, and so in use on disk too
        put(*store, 6);
        store->flush();
        EXPECT_EQ(store->stats().disk_evictions, 1u);
        EXPECT_LE(store->stats().disk_bytes, bytes_max);
    }
    {
        const auto store = open_store(options);
        EXPECT_EQ(store->where(key_of(0), tokens_of(0)), Tier::kDisk);
        EXPECT_EQ(store->where(key_of(1), tokens_of(1)), std::nullopt);
        EXPECT_TRUE(holds(*store, 2));  // the last one used, from now on
    }
    options.disk_bytes_max = block_file_bytes(meta_of(2));
    const auto store = open_store(options);
    EXPECT_EQ(store->stats().disk_blocks, 1u);
    EXPECT_TRUE(holds(*store, 2));
    put(*store, 3);  // larger than the whole budget
    store->flush();
    EXPECT_EQ(store->stats().disk_blocks, 1u);
    EXPECT_EQ(store->stats().disk_writes_dropped, 1u);
    EXPECT_TRUE(holds(*store, 3));
}

TEST(BlockStore, UsesInRamKeepABlockOnDiskBeyondTheProcess) {
    const TempDirectory directory;
    BlockStoreOptions options{.directory = directory.path()};
    {
        const auto store = open_store(options);
        for (uint64_t id = 0; id < 4; ++id) {
            put(*store, id);
            store->flush();
        }
        ASSERT_EQ(store->where(key_of(0), tokens_of(0)), Tier::kRam);
        EXPECT_TRUE(holds(*store, 0));
        EXPECT_FALSE(store->find(key_of(1), tokens_of(2))) << "which is no use of block 1";
    }
    options.disk_bytes_max = block_file_bytes(meta_of(3)) + block_file_bytes(meta_of(0));
    const auto store = open_store(options);
    EXPECT_EQ(store->where(key_of(0), tokens_of(0)), Tier::kDisk);
    EXPECT_EQ(store->where(key_of(1), tokens_of(1)), std::nullopt);
    EXPECT_EQ(store->where(key_of(2), tokens_of(2)), std::nullopt);
    EXPECT_EQ(store->where(key_of(3), tokens_of(3)), Tier::kDisk);
}

TEST(BlockStore, RemembersTheOrderOfUsesWhenTheClockIsSetBack) {
    const TempDirectory directory;
    BlockStoreOptions options{.directory = directory.path()};
    {
        const auto store = open_store(options);
        put(*store, 0);
        store->flush();
    }
    const auto ahead = std::filesystem::file_time_type::clock::now() + std::chrono::hours(1);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path())) {
        if (entry.is_regular_file()) {
            std::filesystem::last_write_time(entry.path(), ahead);
        }
    }
    {
        const auto store = open_store(options);
        put(*store, 1);
        store->flush();
    }
    options.disk_bytes_max = block_file_bytes(meta_of(1));
    const auto store = open_store(options);
    EXPECT_EQ(store->where(key_of(0), tokens_of(0)), std::nullopt);
    EXPECT_EQ(store->where(key_of(1), tokens_of(1)), Tier::kDisk);
}

TEST(BlockStore, CountsWritesThatTheQueueHasNoRoomFor) {
    const TempDirectory directory;
    const auto store =
        open_store({.directory = directory.path(), .write_queue_bytes_max = ram_bytes_of(0)});
    put(*store, 1);  // larger than block 0
    store->flush();
    EXPECT_EQ(store->stats().disk_writes_dropped, 1u);
    EXPECT_EQ(store->stats().disk_blocks, 0u);
    EXPECT_TRUE(holds(*store, 1));
    put(*store, 0);
    store->flush();
    EXPECT_EQ(store->stats().disk_blocks, 1u);
}

TEST(BlockStore, ServesFromRamWhenTheDiskIsFull) {
    const TempDirectory directory;
    const auto store = open_store({.directory = directory.path()});
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit old_limit{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
    const rlimit full{.rlim_cur = 200, .rlim_max = old_limit.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
    const bool inserted = store->insert(make_block(1)).ok();
    store->flush();
    setrlimit(RLIMIT_FSIZE, &old_limit);
    std::signal(SIGXFSZ, old_handler);

    ASSERT_TRUE(inserted);
    BlockStoreStats stats = store->stats();
    EXPECT_EQ(stats.disk_writes_dropped, 1u);
    EXPECT_EQ(stats.disk_blocks, 0u);
    EXPECT_NE(stats.last_disk_error, "");
    EXPECT_EQ(test::count_entries(test::model_path(directory.path()) / "incoming"), 0u);
    EXPECT_TRUE(holds(*store, 1));

    put(*store, 2);
    store->flush();
    stats = store->stats();
    EXPECT_EQ(stats.disk_blocks, 1u);
    EXPECT_EQ(stats.last_disk_error, "");
}

TEST(BlockStore, ServesFromRamWhenTheDirectoryIsGone) {
    const TempDirectory directory;
    const auto store =
        open_store({.ram_bytes_max = room_for(3), .directory = directory.path() / "cache"});
    put(*store, 0);
    store->flush();
    std::filesystem::remove_all(directory.path() / "cache");
    put(*store, 1);
    store->flush();
    EXPECT_EQ(store->stats().disk_writes_dropped, 1u);
    EXPECT_NE(store->stats().last_disk_error, "");
    EXPECT_TRUE(holds(*store, 0));
    EXPECT_TRUE(holds(*store, 1));
    put(*store, 2);
    put(*store, 4);  // evicts block 0, which the disk has no more
    EXPECT_FALSE(holds(*store, 0));
    EXPECT_EQ(store->where(key_of(0), tokens_of(0)), std::nullopt);
}

TEST(BlockStore, SharesItsDirectoryWithOtherModelsButNotWithItself) {
    const TempDirectory directory;
    const BlockStoreOptions options{.directory = directory.path()};
    const auto store = open_store(options);
    put(*store, 1);
    store->flush();
    const auto same = BlockStore::open(options, kModel, kLayout);
    ASSERT_FALSE(same.ok());
    EXPECT_EQ(same.error().code, ErrorCode::kIo);
    EXPECT_NE(same.error().message.find("another process"), std::string::npos);
    const auto other = BlockStore::open(options, {7, 7}, kLayout);
    ASSERT_TRUE(other.ok());
    EXPECT_FALSE((*other)->find(key_of(1), tokens_of(1)));
}

TEST(BlockStore, SaysWhyADirectoryCannotBeUsed) {
    const TempDirectory directory;
    test::write_file(directory.path() / "file", "x");
    const auto store =
        BlockStore::open({.directory = directory.path() / "file" / "sub"}, kModel, kLayout);
    ASSERT_FALSE(store.ok());
    EXPECT_EQ(store.error().code, ErrorCode::kIo);
    EXPECT_NE(store.error().message.find("file/sub"), std::string::npos);
}

TEST(BlockStore, ListsEachBlockOnceRamFirst) {
    const TempDirectory directory;
    const BlockStoreOptions options{.directory = directory.path()};
    {
        const auto store = open_store(options);
        for (uint64_t id = 0; id < 4; ++id) {
            put(*store, id);
        }
    }
    const auto store = open_store(options);
    ASSERT_TRUE(holds(*store, 2));
    const auto all = store->list(100);
    ASSERT_EQ(all.size(), 4u);
    EXPECT_EQ(all[0].meta.key, key_of(2));
    EXPECT_EQ(all[0].tier, Tier::kRam);
    EXPECT_EQ(all[0].bytes, ram_bytes_of(2));
    std::set<Key128> keys;
    for (const auto& listing : all) {
        keys.insert(listing.meta.key);
    }
    EXPECT_EQ(keys.size(), 4u);
    EXPECT_EQ(all[3].tier, Tier::kDisk);
    EXPECT_EQ(store->list(2).size(), 2u);
    EXPECT_TRUE(store->list(0).empty());
}

TEST(BlockStore, TellsABlocksMetadataWhereverItIs) {
    const TempDirectory directory;
    const BlockStoreOptions options{.directory = directory.path()};
    {
        const auto store = open_store(options);
        for (uint64_t id = 0; id < 4; ++id) {
            put(*store, id, 0, id == 3 ? Provenance::kExact : Provenance::kIsolated);
        }
    }
    const auto store = open_store(options);
    ASSERT_TRUE(holds(*store, 1));
    for (const uint64_t id : {1, 2}) {
        const std::optional<BlockMeta> meta = store->meta(key_of(id));
        ASSERT_TRUE(meta) << id;
        EXPECT_EQ(meta->tokens, tokens_of(id));
        EXPECT_EQ(meta->left_context, meta_of(id).left_context);
    }
    EXPECT_FALSE(store->meta(key_of(9)));
    const std::vector<Key128> keys = store->keys(Provenance::kIsolated, 10);
    ASSERT_EQ(keys.size(), 3u);
    EXPECT_EQ(keys[0], key_of(1)) << "the last used one";
    EXPECT_EQ(std::set<Key128>(keys.begin(), keys.end()),
              (std::set<Key128>{key_of(0), key_of(1), key_of(2)}));
    EXPECT_EQ(store->keys(Provenance::kIsolated, 2).size(), 2u);
    EXPECT_EQ(store->keys(Provenance::kExact, 10), std::vector<Key128>{key_of(3)});
}

// The RAM tier, as plainly as it can be said.
class NaiveStore {
public:
    explicit NaiveStore(uint64_t bytes_max) : bytes_max_(bytes_max) {}

    struct Entry {
        uint64_t id;
        uint64_t version;
        Provenance provenance;
        std::shared_ptr<int> pins = std::make_shared<int>(0);
    };

    Entry* find(uint64_t id) {
        const auto place = std::find_if(entries_.begin(), entries_.end(),
                                        [&](const Entry& entry) { return entry.id == id; });
        if (place == entries_.end()) {
            return nullptr;
        }
        entries_.splice(entries_.begin(), entries_, place);
        return &entries_.front();
    }

    Entry* insert(uint64_t id, uint64_t version, Provenance provenance) {
        const auto old = std::find_if(entries_.begin(), entries_.end(),
                                      [&](const Entry& entry) { return entry.id == id; });
        if (old != entries_.end() && old->provenance < provenance) {
            return find(id);
        }
        if (pinned_bytes() + ram_bytes_of(id) > bytes_max_) {
            return nullptr;
        }
        for (auto entry = entries_.end(); used() + ram_bytes_of(id) > bytes_max_;) {
            --entry;
            if (*entry->pins == 0) {
                entry = entries_.erase(entry);
            }
        }
        erase(id);
        entries_.push_front({id, version, provenance});
        return &entries_.front();
    }

    bool erase(uint64_t id) {
        const auto place = std::find_if(entries_.begin(), entries_.end(),
                                        [&](const Entry& entry) { return entry.id == id; });
        if (place == entries_.end()) {
            return false;
        }
        erased_.push_back(*place);
        entries_.erase(place);
        return true;
    }

    uint64_t used() const {
        uint64_t bytes = 0;
        for (const Entry& entry : entries_) {
            bytes += ram_bytes_of(entry.id);
        }
        for (const Entry& entry : erased_) {
            bytes += *entry.pins > 0 ? ram_bytes_of(entry.id) : 0;
        }
        return bytes;
    }

private:
    uint64_t pinned_bytes() const {
        uint64_t bytes = 0;
        for (const auto* entries : {&entries_, &erased_}) {
            for (const Entry& entry : *entries) {
                bytes += *entry.pins > 0 ? ram_bytes_of(entry.id) : 0;
            }
        }
        return bytes;
    }

    uint64_t bytes_max_;
    std::list<Entry> entries_;  // the most recently used first
    std::list<Entry> erased_;
};

TEST(BlockStore, AgreesWithTheNaiveStore) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const uint64_t bytes_max = room_for(8);
    const auto store = open_store({.ram_bytes_max = bytes_max});
    NaiveStore naive(bytes_max);
    struct Held {
        BlockPin pin;
        NaiveStore::Entry entry;
    };
    std::vector<Held> held;
    const auto hold = [&](BlockPin pin, const NaiveStore::Entry* entry) {
        ASSERT_EQ(static_cast<bool>(pin), entry != nullptr);
        if (entry != nullptr) {
            ASSERT_TRUE(is_block(*pin, entry->id, entry->version));
            ++*entry->pins;
            held.push_back({std::move(pin), *entry});
        }
    };
    for (uint64_t step = 0; step < 20000; ++step) {
        const uint64_t id = random() % 14;
        switch (random() % 8) {
            case 0:
            case 1: hold(store->find(key_of(id), tokens_of(id)), naive.find(id)); break;
            case 2:
            case 3: {
                const auto provenance = static_cast<Provenance>(random() % 4);
                auto pin = store->insert(make_block(id, step, provenance));
                hold(pin.ok() ? std::move(pin).value() : BlockPin(),
                     naive.insert(id, step, provenance));
                break;
            }
            case 4:
                if (random() % 4 == 0) {
                    ASSERT_EQ(store->erase(key_of(id)), naive.erase(id));
                }
                break;
            default:
                if (!held.empty()) {
                    const size_t i = random() % held.size();
                    std::swap(held[i], held.back());
                    ASSERT_TRUE(is_block(*held.back().pin, held.back().entry.id,
                                         held.back().entry.version));
                    --*held.back().entry.pins;
                    held.pop_back();
                }
        }
        ASSERT_EQ(store->stats().ram_bytes, naive.used()) << "step " << step;
        ASSERT_LE(naive.used(), bytes_max);
        if (testing::Test::HasFatalFailure()) {
            return;
        }
    }
}

// With a disk nothing is lost that was not erased, whatever the order of evictions and writes.
TEST(BlockStore, LosesAndMixesUpNothingOnTheWayToDisk) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const TempDirectory directory;
    const BlockStoreOptions options{.ram_bytes_max = room_for(4), .directory = directory.path()};
    std::map<uint64_t, uint64_t> versions;
    auto store = open_store(options);
    for (uint64_t step = 0; step < 300; ++step) {
        const uint64_t id = random() % 12;
        const uint64_t action = random() % 40;
        if (action < 18) {
            const auto version = versions.find(id);
            const BlockPin pin = store->find(key_of(id), tokens_of(id));
            ASSERT_EQ(static_cast<bool>(pin), version != versions.end()) << "step " << step;
            ASSERT_TRUE(!pin || is_block(*pin, id, version->second)) << "step " << step;
        } else if (action < 33) {
            put(*store, id, step);
            versions[id] = step;
        } else if (action < 37) {
            ASSERT_EQ(store->erase(key_of(id)), versions.erase(id) > 0);
        } else if (action < 39) {
            store->flush();
            ASSERT_EQ(store->stats().disk_blocks, versions.size());
        } else {
            store.reset();
            store = open_store(options);
            ASSERT_EQ(store->stats().disk_blocks, versions.size());
        }
        ASSERT_LE(store->stats().ram_bytes, room_for(4));
    }
    EXPECT_EQ(store->stats().disk_writes_dropped, 0u);
    EXPECT_EQ(store->stats().last_disk_error, "");
}

TEST(BlockStore, ServesManyThreads) {
    const TempDirectory directory;
    uint64_t file_bytes = 0;
    for (uint64_t id = 0; id < 8; ++id) {
        file_bytes += block_file_bytes(meta_of(id));
    }
    const auto store = open_store({.ram_bytes_max = room_for(6),
                                   .directory = directory.path(),
                                   .disk_bytes_max = file_bytes,
                                   .write_queue_bytes_max = room_for(10)});
    std::atomic<int> n_wrong = 0;
    std::atomic<int> n_found = 0;
    const auto work = [&](uint64_t seed) {
        std::mt19937_64 random(seed);
        BlockPin kept;
        for (int step = 0; step < 400; ++step) {
            const uint64_t id = random() % 12;
            const uint64_t action = random() % 16;
            if (action < 8) {
                BlockPin pin = store->find(key_of(id), tokens_of(id));
                n_found += pin ? 1 : 0;
                n_wrong += pin && !is_block(*pin, id) ? 1 : 0;
                kept = std::move(pin);
            } else if (action < 13) {
                const auto pin = store->insert(make_block(id));
                n_wrong += pin.ok() && !is_block(**pin, id) ? 1 : 0;
            } else if (action < 14) {
                store->erase(key_of(id));
            } else if (action < 15) {
                n_wrong += store->stats().ram_bytes > room_for(6) ? 1 : 0;
                n_wrong += store->list(5).size() > 5 ? 1 : 0;
            } else {
                (void)store->where(key_of(id), tokens_of(id));
            }
        }
    };
    std::vector<std::thread> threads;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
        threads.emplace_back(work, seed);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    store->flush();
    EXPECT_EQ(n_wrong, 0);
    EXPECT_GT(n_found, 0);
    EXPECT_EQ(store->stats().pinned_blocks, 0u);
    EXPECT_LE(store->stats().disk_bytes, file_bytes);
    EXPECT_EQ(store->stats().files_set_aside, 0u);
}

}  // namespace
}  // namespace spolia
