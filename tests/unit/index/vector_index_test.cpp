#include "index/vector_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <thread>

#include "index/whole_file.h"
#include "tests/support/test_folder.h"
#include "tests/support/vectors.h"

namespace spolia {
namespace {

using test::Clusters;
using test::numbered_key;
using test::TestFolder;
using test::unit_vector;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Key128 kEmbedder{1, 2};
constexpr Key128 kPartition{3, 4};
constexpr int32_t kDims = 16;

using Model = std::map<Key128, std::vector<float>>;

std::unique_ptr<VectorIndex> open_index(VectorIndexOptions options = {}, int32_t n_dims = kDims,
                                        const Key128& embedder = kEmbedder) {
    Result<std::unique_ptr<VectorIndex>> index =
        VectorIndex::open(std::move(options), embedder, n_dims);
    EXPECT_TRUE(index.ok());
    return std::move(index).value();
}

float product(std::span<const float> a, std::span<const float> b) {
    float sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

// What is nearest, found by looking at everything.
std::vector<VectorHit> naive_search(const Model& model, std::span<const float> query, size_t k) {
    std::vector<VectorHit> hits;
    for (const auto& [id, vector] : model) hits.push_back({id, product(query, vector)});
    std::ranges::sort(hits, std::greater(), &VectorHit::score);
    hits.resize(std::min(k, hits.size()));
    return hits;
}

void expect_same(const std::vector<VectorHit>& hits, const std::vector<VectorHit>& wanted,
                 const Model& model, std::span<const float> query) {
    ASSERT_EQ(hits.size(), wanted.size());
    std::set<Key128> ids;
    for (size_t i = 0; i < hits.size(); ++i) {
        ASSERT_TRUE(model.contains(hits[i].id)) << "an id of another partition, or a removed one";
        EXPECT_TRUE(ids.insert(hits[i].id).second) << "an id twice";
        EXPECT_NEAR(hits[i].score, wanted[i].score, 1e-5);
        EXPECT_NEAR(hits[i].score, product(query, model.at(hits[i].id)), 1e-5);
    }
}

TEST(VectorIndex, FindsNothingWhereNothingIs) {
    const auto index = open_index();
    EXPECT_THAT(index->search(kPartition, std::vector<float>(kDims), 8), IsEmpty());
    EXPECT_EQ(index->size(kPartition), 0u);
    EXPECT_FALSE(index->remove(kPartition, numbered_key(1)));
    EXPECT_TRUE(index->save().ok());
    EXPECT_EQ(index->open_warning(), "");
}

TEST(VectorIndex, RefusesWhatDoesNotFit) {
    VectorIndexOptions options;
    options.partition_max = 2;
    const auto index = open_index(options);
    std::vector<float> vector(kDims, 0.25f);
    const auto code = [&](const Key128& id, std::span<const float> v) {
        const Status added = index->add(kPartition, id, v);
        return added ? std::string_view("ok") : to_string(added.error().code);
    };
    EXPECT_EQ(code(numbered_key(1), {vector.data(), kDims - 1}), "invalid_argument");
    for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), 0.3f, 1e30f}) {
        std::vector<float> with_bad = vector;
        with_bad[5] = bad;
        EXPECT_EQ(code(numbered_key(1), with_bad), "invalid_argument");
    }
    EXPECT_EQ(index->size(kPartition), 0u);
    EXPECT_EQ(code(numbered_key(1), vector), "ok");
    EXPECT_EQ(code(numbered_key(2), vector), "ok");
    EXPECT_EQ(code(numbered_key(3), vector), "overloaded");
    EXPECT_EQ(code(numbered_key(2), vector), "ok") << "in place of another";
    EXPECT_EQ(index->size(kPartition), 2u);
    EXPECT_THAT(index->search(kPartition, {vector.data(), kDims - 1}, 8), IsEmpty());
    EXPECT_THAT(index->search(kPartition, std::vector<float>(kDims, 1e30f), 8), IsEmpty());
    EXPECT_THAT(index->search(kPartition, vector, 0), IsEmpty());
    EXPECT_FALSE(VectorIndex::open({}, kEmbedder, 0).ok());
}

// Random adds, replacements, removals, saves and searches over partitions that hold the same ids,
// with graphs and without, against maps.
void run_against_model(uint64_t seed, size_t flat_max, uint64_t memory_max) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", flat_max " + std::to_string(flat_max));
    const TestFolder folder;
    VectorIndexOptions options;
    options.file = folder.path / "vectors";
    options.flat_max = flat_max;
    options.memory_max = memory_max;
    // Every row of graphs this small, so that nothing is missed.
    options.search_width = 1u << 20;
    std::unique_ptr<VectorIndex> index = open_index(options);
    std::map<Key128, Model> model;
    std::mt19937_64 random(seed);
    const auto any_partition = [&] { return Key128{9, random() % 3}; };
    const auto any_id = [&] { return numbered_key(random() % 900); };
    for (int step = 0; step < 3000; ++step) {
        const Key128 partition = any_partition(), id = any_id();
        const uint64_t draw = random() % 1000;
        if (draw < 600) {
            const std::vector<float> vector = unit_vector(random, kDims);
            ASSERT_TRUE(index->add(partition, id, vector).ok());
            model[partition][id] = vector;
        } else if (draw < 850) {
            ASSERT_EQ(index->remove(partition, id), model[partition].erase(id) == 1);
        } else if (draw < 860) {
            for (const auto& [one, vector] : model[partition]) {
                ASSERT_TRUE(index->remove(partition, one));
            }
            model[partition].clear();
        } else if (draw < 863) {
            index->settle();
        } else if (draw < 866) {
            ASSERT_TRUE(index->save().ok());
            index.reset();
            index = open_index(options);
            ASSERT_EQ(index->open_warning(), "");
        } else {
            const std::vector<float> query = unit_vector(random, kDims);
            const size_t k = random() % 12;
            expect_same(index->search(partition, query, k),
                        naive_search(model[partition], query, k), model[partition], query);
        }
        ASSERT_EQ(index->size(partition), model[partition].size());
    }
}

TEST(VectorIndex, IsAMapOfPartitions) {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
        // With graphs and without, in memory and mostly on disk.
        run_against_model(seed, seed % 2 == 0 ? 64 : 4096, seed % 3 == 0 ? 5000 : 1 << 20);
        if (HasFatalFailure()) return;
    }
}

TEST(VectorIndex, FindsThroughAGraphWhatIsNearest) {
    constexpr size_t kVectors = 5000, kQueries = 100, kNearest = 8;
    VectorIndexOptions options;
    options.flat_max = 1000;
    const auto index = open_index(options, 64);
    Clusters clusters(1, 100, 64, 0.7f);
    Model model;
    for (uint64_t i = 0; i < kVectors; ++i) {
        model[numbered_key(i)] = clusters.next();
        ASSERT_TRUE(index->add(kPartition, numbered_key(i), model[numbered_key(i)]).ok());
    }
    index->settle();
    // Some of them removed, which the graph still leads through.
    for (uint64_t i = 0; i < kVectors; i += 5) {
        ASSERT_TRUE(index->remove(kPartition, numbered_key(i)));
        model.erase(numbered_key(i));
    }
    size_t n_found = 0;
    for (size_t i = 0; i < kQueries; ++i) {
        const std::vector<float> query = clusters.next();
        std::set<Key128> wanted;
        for (const VectorHit& hit : naive_search(model, query, kNearest)) wanted.insert(hit.id);
        const std::vector<VectorHit> hits = index->search(kPartition, query, kNearest);
        ASSERT_EQ(hits.size(), kNearest);
        for (const VectorHit& hit : hits) n_found += wanted.count(hit.id);
    }
    EXPECT_GE(static_cast<double>(n_found) / (kQueries * kNearest), 0.95);
}

TEST(VectorIndex, FindsAllThatIsLeftNearManyRemoved) {
    VectorIndexOptions options;
    options.flat_max = 200;
    const auto index = open_index(options);
    std::mt19937_64 random(1);
    const std::vector<float> query = unit_vector(random, kDims);
    for (uint64_t i = 0; i < 2000; ++i) {
        ASSERT_TRUE(index->add(kPartition, numbered_key(i), unit_vector(random, kDims)).ok());
    }
    index->settle();
    // All those nearest to the query.
    for (const VectorHit& hit : index->search(kPartition, query, 600)) {
        ASSERT_TRUE(index->remove(kPartition, hit.id));
    }
    EXPECT_EQ(index->search(kPartition, query, 8).size(), 8u);
    EXPECT_EQ(index->search(kPartition, query, 5000).size(), 1400u);
    index->settle();
    EXPECT_EQ(index->search(kPartition, query, 5000).size(), 1400u);
}

TEST(VectorIndex, HoldsOnDiskWhatIsTooMuchForMemory) {
    const TestFolder folder;
    VectorIndexOptions options;
    options.file = folder.path / "index" / "vectors";  // a folder that is made
    options.memory_max = 100 * kDims * sizeof(float);
    auto index = open_index(options);
    std::mt19937_64 random(1);
    Model model;
    for (uint64_t i = 0; i < 1000; ++i) {
        model[numbered_key(i)] = unit_vector(random, kDims);
        ASSERT_TRUE(index->add(kPartition, numbered_key(i), model[numbered_key(i)]).ok());
    }
    // Which nobody finds.
    EXPECT_TRUE(std::filesystem::is_empty(folder.path / "index"));
    ASSERT_TRUE(index->save().ok());
    for (int again = 0; again < 2; ++again) {
        const std::vector<float> query = unit_vector(random, kDims);
        expect_same(index->search(kPartition, query, 8), naive_search(model, query, 8), model,
                    query);
        index.reset();
        index = open_index(options);
        EXPECT_EQ(index->open_warning(), "");
    }
}

TEST(VectorIndex, TakesWhatFitsWhereThereIsNoDisk) {
    VectorIndexOptions options;
    options.memory_max = 48 * kDims * sizeof(float);
    const auto index = open_index(options);
    std::mt19937_64 random(1);
    Model model;
    Status added;
    while (added.ok() && model.size() < 1000) {
        const Key128 id = numbered_key(model.size());
        const std::vector<float> vector = unit_vector(random, kDims);
        added = index->add(kPartition, id, vector);
        if (added) model[id] = vector;
    }
    ASSERT_FALSE(added.ok());
    EXPECT_EQ(added.error().code, ErrorCode::kOutOfMemory);
    EXPECT_FALSE(index->add({8, 8}, numbered_key(1), std::vector<float>(kDims)).ok());
    EXPECT_EQ(index->size({8, 8}), 0u);
    EXPECT_EQ(index->size(kPartition), model.size());
    // One that is to be replaced stays.
    EXPECT_FALSE(index->add(kPartition, numbered_key(0), unit_vector(random, kDims)).ok());
    const std::vector<float> query = unit_vector(random, kDims);
    expect_same(index->search(kPartition, query, 8), naive_search(model, query, 8), model, query);
}

class VectorIndexFile : public testing::Test {
protected:
    VectorIndexFile() {
        options_.file = folder_.path / "vectors";
        options_.flat_max = 100;
        std::mt19937_64 random(1);
        const auto index = open_index(options_);
        for (uint64_t i = 0; i < 300; ++i) {
            vectors_.push_back(unit_vector(random, kDims));
            EXPECT_TRUE(index->add({i % 2, 0}, numbered_key(i), vectors_.back()).ok());
        }
        index->settle();
        EXPECT_TRUE(index->remove({0, 0}, numbered_key(0)));
        EXPECT_TRUE(index->save().ok());
        bytes_ = *read_whole_file(options_.file);
    }

    void write(std::string_view bytes) {
        std::ofstream(options_.file, std::ios::binary | std::ios::trunc) << bytes;
    }
    // Says what is wrong, keeps the file, and starts anew.
    void expect_set_aside(std::string_view bytes, const char* why, const char* how = "damaged") {
        SCOPED_TRACE(why);
        write(bytes);
        const auto index = open_index(options_);
        EXPECT_THAT(index->open_warning(), HasSubstr(how));
        EXPECT_THAT(index->open_warning(), HasSubstr(options_.file.string() + ".set-aside"));
        EXPECT_FALSE(std::filesystem::exists(options_.file));
        EXPECT_EQ(*read_whole_file(options_.file.string() + ".set-aside"), bytes);
        EXPECT_EQ(index->size({0, 0}) + index->size({1, 0}), 0u);
        EXPECT_TRUE(index->add({0, 0}, numbered_key(1), vectors_[1]).ok());
        EXPECT_TRUE(index->save().ok());
        EXPECT_EQ(open_index(options_)->open_warning(), "");
    }

    const TestFolder folder_;
    VectorIndexOptions options_;
    std::vector<std::vector<float>> vectors_;
    std::string bytes_;
};

TEST_F(VectorIndexFile, BringsEverythingBack) {
    const auto index = open_index(options_);
    EXPECT_EQ(index->open_warning(), "");
    EXPECT_EQ(index->size({0, 0}), 149u);
    EXPECT_EQ(index->size({1, 0}), 150u);
    for (uint64_t i = 1; i < 300; ++i) {
        const std::vector<VectorHit> hits = index->search({i % 2, 0}, vectors_[i], 1);
        ASSERT_EQ(hits.size(), 1u);
        EXPECT_EQ(hits[0].id, numbered_key(i));
    }
    EXPECT_NE(index->search({0, 0}, vectors_[0], 1)[0].id, numbered_key(0));
}

TEST_F(VectorIndexFile, ListsWhatItHolds) {
    const auto index = open_index(options_);
    EXPECT_TRUE(index->remove({1, 0}, numbered_key(1)));
    std::set<std::pair<Key128, Key128>> names;
    for (const VectorName& name : index->list()) names.emplace(name.partition, name.id);
    std::set<std::pair<Key128, Key128>> expected;
    for (uint64_t i = 2; i < 300; ++i) expected.emplace(Key128{i % 2, 0}, numbered_key(i));
    EXPECT_EQ(names, expected);
    EXPECT_EQ(index->list().size(), expected.size());
}

TEST_F(VectorIndexFile, IsWrittenOnlyWhenSomethingChanged) {
    const auto index = open_index(options_);
    std::filesystem::remove(options_.file);
    EXPECT_TRUE(index->save().ok());
    EXPECT_FALSE(std::filesystem::exists(options_.file));
    EXPECT_TRUE(index->remove({1, 0}, numbered_key(1)));
    EXPECT_TRUE(index->save().ok());
    EXPECT_EQ(open_index(options_)->size({1, 0}), 149u);
}

TEST_F(VectorIndexFile, IsSetAsideWhenDamagedAnywhere) {
    for (size_t at = 0; at < bytes_.size(); at += at < 200 ? 1 : bytes_.size() / 150) {
        std::string damaged = bytes_;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        expect_set_aside(damaged, ("byte " + std::to_string(at)).c_str());
        if (HasFailure()) return;
    }
}

TEST_F(VectorIndexFile, IsSetAsideWhenCutShortOrLonger) {
    for (size_t size = 0; size < bytes_.size(); size += size < 100 ? 1 : bytes_.size() / 100) {
        expect_set_aside(bytes_.substr(0, size), ("cut at " + std::to_string(size)).c_str());
        if (HasFailure()) return;
    }
    expect_set_aside(bytes_ + '\0', "a byte more");
    expect_set_aside(bytes_ + bytes_, "twice");
}

TEST_F(VectorIndexFile, OfAnotherEmbedderIsSetAside) {
    const auto index = open_index(options_, kDims, {1, 3});
    EXPECT_THAT(index->open_warning(), HasSubstr("another embedder's"));
    EXPECT_EQ(index->size({1, 0}), 0u);
    write(bytes_);
    EXPECT_THAT(open_index(options_, kDims * 2)->open_warning(), HasSubstr("another embedder's"));
}

TEST_F(VectorIndexFile, ThatCantBeReadOrWrittenIsAnError) {
    options_.file = folder_.path / "no" / "such" / "folder" / "vectors";
    const auto index = open_index(options_);
    ASSERT_TRUE(index->add(kPartition, numbered_key(1), vectors_[1]).ok());
    const Status saved = index->save();
    ASSERT_FALSE(saved.ok());
    EXPECT_EQ(saved.error().code, ErrorCode::kIo);
    EXPECT_THAT(saved.error().message, HasSubstr(options_.file.string()));
}

// Graphs are built by the index's own thread, one, so ThreadSanitizer sees all that is shared;
// FAISS's code itself is not instrumented.
TEST(VectorIndex, IsSearchedWhileItChanges) {
    const TestFolder folder;
    VectorIndexOptions options;
    options.flat_max = 300;
    options.file = folder.path / "vectors";
    const auto index = open_index(options);
    std::mt19937_64 random(1);
    std::vector<std::vector<float>> vectors;
    for (int i = 0; i < 2500; ++i) vectors.push_back(unit_vector(random, kDims));
    // These stay, and are found by every search.
    constexpr uint64_t kStaying = 50;
    for (uint64_t i = 0; i < kStaying; ++i) {
        ASSERT_TRUE(index->add(kPartition, numbered_key(i), vectors[i]).ok());
    }
    std::atomic<bool> stop{false};
    std::atomic<int> n_missed{0};
    const auto search = [&](uint64_t seed) {
        std::mt19937_64 choose(seed);
        while (!stop) {
            const uint64_t i = choose() % kStaying;
            const std::vector<VectorHit> hits = index->search(kPartition, vectors[i], 3);
            if (hits.empty() || hits[0].id != numbered_key(i)) ++n_missed;
            index->size(kPartition);
        }
    };
    std::thread searcher(search, 1), other_searcher(search, 2);
    std::thread saver([&] {
        while (!stop) ASSERT_TRUE(index->save().ok());
    });
    const auto write = [&](uint64_t begin, uint64_t end) {
        for (uint64_t i = begin; i < end; ++i) {
            ASSERT_TRUE(index->add(kPartition, numbered_key(i), vectors[i]).ok());
            if (i % 2 == 0) {
                ASSERT_TRUE(index->remove(kPartition, numbered_key(i)));
            }
            if (i % 7 == 0) {
                const uint64_t same = i % kStaying;
                ASSERT_TRUE(index->add(kPartition, numbered_key(same), vectors[same]).ok());
            }
        }
    };
    std::thread writer(write, 50, 1300);
    write(1300, 2500);
    writer.join();
    index->settle();
    stop = true;
    for (std::thread* thread : {&searcher, &other_searcher, &saver}) thread->join();
    EXPECT_EQ(n_missed, 0);
    EXPECT_EQ(index->size(kPartition), 1275u);
}

}  // namespace
}  // namespace spolia
