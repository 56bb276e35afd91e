#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "broker/rag/collection_name.h"
#include "broker/rag/collection_service.h"
#include "broker/rag/collection_store.h"
#include "broker/rag/rank_fusion.h"
#include "broker/rag/word_query.h"
#include "tests/support/test_folder.h"
#include "tests/support/word_embedder.h"

namespace spolia {
namespace {

const test::WordEmbedder kEmbedder;

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

class CollectionTest : public ::testing::Test {
protected:
    std::unique_ptr<CollectionDatabase> open(const std::string& name = "notes",
                                             const std::string& tenant = "") {
        const auto file = collection_file(folder_.path, tenant, name);
        std::filesystem::create_directories(file.parent_path());
        auto collection = CollectionDatabase::open(file, Database::Access::kCreate, name);
        EXPECT_TRUE(collection.ok()) << collection.error().message;
        return *std::move(collection);
    }

    static void put(CollectionDatabase& collection, const std::string& path,
                    const std::vector<std::string>& texts,
                    const TextEmbedder& embedder = kEmbedder) {
        std::vector<DocumentChunk> chunks;
        std::vector<std::string_view> views(texts.begin(), texts.end());
        for (const std::string& text : texts) chunks.push_back({"Heading", text});
        const DocumentStamp stamp{path, path.substr(1), 1, 2, 3, hash_text(path)};
        const Status done =
            collection.put(stamp, chunks, embedder.fingerprint(), *embedder.embed(views));
        ASSERT_TRUE(done.ok()) << done.error().message;
    }

    static Result<std::vector<RetrievedChunk>> find(CollectionSearch& search,
                                                    std::string_view query, size_t k) {
        return search.search(query, *kEmbedder.embed({&query, 1}), k);
    }

    static std::vector<std::string> texts(const Result<std::vector<RetrievedChunk>>& found) {
        EXPECT_TRUE(found.ok()) << found.error().message;
        std::vector<std::string> texts;
        if (found.ok()) {
            for (const RetrievedChunk& each : *found) texts.push_back(each.chunk.text);
        }
        return texts;
    }

    test::TestFolder folder_;
};

using Texts = std::vector<std::string>;

TEST_F(CollectionTest, KeepsDocuments) {
    put(*open(), "/a", {"The otter swims."});
    const auto collection = open();
    put(*collection, "/b", {"The heron flies.", "It eats fish."});
    const auto documents = collection->documents();
    ASSERT_TRUE(documents.ok());
    ASSERT_EQ(documents->size(), 2u);
    EXPECT_EQ((*documents)[1].path, "/b");
    EXPECT_EQ((*documents)[1].source, "b");
    EXPECT_EQ((*documents)[1].mtime_ns, 2);
    EXPECT_EQ((*documents)[1].recipe, 3);
    EXPECT_EQ((*documents)[1].hash, hash_text("/b"));
    EXPECT_EQ(collection->size()->n_chunks, 3);
    EXPECT_EQ(collection->size()->text_bytes, 16 + 16 + 13);

    put(*collection, "/b", {"The heron sleeps."});
    EXPECT_EQ(collection->size()->n_chunks, 2);
    EXPECT_TRUE(collection->ranked_by_words("flies", 10)->empty());
    EXPECT_EQ(collection->ranked_by_words("sleeping", 10)->size(), 1u) << "in any form";
    ASSERT_TRUE(collection->remove("/b").ok());
    EXPECT_EQ(collection->size()->n_documents, 1);
    EXPECT_EQ(collection->vector_places(kEmbedder.fingerprint())->places.size(), 1u);
    EXPECT_TRUE(collection->ranked_by_words("heron", 10)->empty());
}

TEST_F(CollectionTest, FindsByWordsAndVectors) {
    auto collection = open();
    put(*collection, "/a", {"The otter swims in the river.", "The heron stands on one leg."});
    put(*collection, "/b", {"Taxes are due in May.", "Otters eat crabs."});
    const auto search = CollectionSearch::open(std::move(collection), kEmbedder);
    ASSERT_TRUE(search.ok()) << search.error().message;
    EXPECT_EQ(texts(find(**search, "When are taxes due?", 1)), Texts{"Taxes are due in May."});
    const auto found = find(**search, "otter", 2);
    EXPECT_EQ(texts(found), (Texts{"Otters eat crabs.", "The otter swims in the river."}));
    EXPECT_NEAR((*found)[0].score, 2 / 61.0, 1e-12) << "first of both rankings";
    EXPECT_EQ((*found)[0].chunk.source, "b");
    EXPECT_EQ((*found)[0].chunk.heading, "Heading");
    EXPECT_EQ((*found)[0].chunk.ordinal, 1);
    EXPECT_TRUE(texts(find(**search, "?!", 3)).empty());
    EXPECT_TRUE(texts(find(**search, "\" OR * NEAR( heading:x", 3)).size() <= 3u);
}

TEST_F(CollectionTest, FollowsWhatOthersWrite) {
    const auto writer = open();
    put(*writer, "/a", {"The otter swims."});
    const auto search = CollectionSearch::open(open(), kEmbedder);
    ASSERT_TRUE(search.ok());
    put(*writer, "/b", {"The otter sleeps."});
    EXPECT_EQ(texts(find(**search, "otter", 9)).size(), 2u);
    ASSERT_TRUE(writer->remove("/a").ok());
    EXPECT_EQ(texts(find(**search, "otter", 9)), Texts{"The otter sleeps."});
}

TEST_F(CollectionTest, KeepsItsIndexAsFarAsItIsTrue) {
    const auto file = folder_.path / "notes.vectors";
    const auto index = [&] {
        VectorIndexOptions options;
        options.file = file;
        return *VectorIndex::open(options, kEmbedder.fingerprint(), kEmbedder.n_dims());
    };
    const auto found = [&] {
        return texts(find(**CollectionSearch::open(open(), kEmbedder, file), "otter", 9));
    };
    put(*open(), "/a", {"The otter swims.", "The otter eats."});
    EXPECT_EQ(found().size(), 2u);
    EXPECT_EQ(index()->list().size(), 2u);
    // Between two starts one is gone, one is new, and one is in the file that never was.
    put(*open(), "/a", {"The otter swims.", "The otter sleeps."});
    {
        const auto changed = index();
        const std::string_view never = "The otter flies.";
        EXPECT_TRUE(changed->add({}, Key128{1, 2}, *kEmbedder.embed({&never, 1})).ok());
        EXPECT_TRUE(changed->save().ok());
    }
    Texts both = found();
    std::ranges::sort(both);
    EXPECT_EQ(both, (Texts{"The otter sleeps.", "The otter swims."}));
    EXPECT_EQ(index()->list().size(), 2u);
    std::ofstream(file) << "no index";
    EXPECT_EQ(found().size(), 2u);
    EXPECT_EQ(index()->list().size(), 2u);
    std::filesystem::remove(file);
    std::filesystem::create_directory(file);
    EXPECT_EQ(found().size(), 2u) << "which can't be kept";
}

TEST_F(CollectionTest, KeepsItsIndexTrueWhereReadingFails) {
    const auto file = folder_.path / "notes.vectors";
    const test::WordEmbedder other(3);
    const auto writer = open();
    put(*writer, "/a", {"The heron flies."}, other);
    put(*writer, "/b", {"Otter 1.", "Otter 2.", "Otter 3.", "Otter 4.", "Otter 5.", "Otter 6."});
    {
        const auto search = CollectionSearch::open(open(), kEmbedder, file);
        ASSERT_TRUE(search.ok()) << search.error().message;
        const std::vector<float> too_short(kEmbedder.n_dims() - 1);
        const auto heron = writer->without_vector(kEmbedder.fingerprint(), 0, 1);
        ASSERT_TRUE(writer->set_vectors(*heron, kEmbedder.fingerprint(), too_short).ok());
        EXPECT_FALSE(find(**search, "otter", 9).ok());
        ASSERT_TRUE(writer->remove("/b").ok());
        put(*writer, "/a", {"The heron sleeps."});
        EXPECT_EQ(texts(find(**search, "heron", 9)), Texts{"The heron sleeps."});
    }
    VectorIndexOptions options;
    options.file = file;
    const auto index = VectorIndex::open(options, kEmbedder.fingerprint(), kEmbedder.n_dims());
    EXPECT_EQ((*index)->list().size(), 1u) << "nothing that is gone is left";
}

TEST_F(CollectionTest, WalksOverWhatLacksVectors) {
    const test::WordEmbedder other(3);
    const auto collection = open();
    put(*collection, "/a", {"One.", "Two."}, other);
    put(*collection, "/b", {"Three."});
    put(*collection, "/c", {"Four."}, other);
    Texts walked;
    auto some = collection->without_vector(kEmbedder.fingerprint(), 0, 2);
    while (!some->empty()) {
        for (const auto& each : *some) walked.push_back(each.text);
        some = collection->without_vector(kEmbedder.fingerprint(), some->back().row, 2);
    }
    EXPECT_EQ(walked, (Texts{"One.", "Two.", "Four."}));
    EXPECT_EQ(*collection->n_without_vector(kEmbedder.fingerprint()), 3);
    EXPECT_EQ(collection->vector_places(kEmbedder.fingerprint())->n_without, 3);
}

TEST_F(CollectionTest, SetsNoVectorOfAnotherText) {
    const test::WordEmbedder other(3);
    const auto collection = open();
    put(*collection, "/a", {"The otter swims."}, other);
    const auto missing = collection->without_vector(kEmbedder.fingerprint(), 0, 10);
    put(*collection, "/a", {"The heron flies."}, other);
    ASSERT_EQ(collection->without_vector(kEmbedder.fingerprint(), 0, 10)->at(0).row,
              missing->at(0).row);
    const std::string_view text = missing->at(0).text;
    ASSERT_TRUE(
        collection->set_vectors(*missing, kEmbedder.fingerprint(), *kEmbedder.embed({&text, 1}))
            .ok());
    EXPECT_EQ(*collection->n_without_vector(kEmbedder.fingerprint()), 1);
}

TEST_F(CollectionTest, NeverMixesEmbedders) {
    const test::WordEmbedder other(3);
    auto collection = open();
    put(*collection, "/a", {"The otter swims."}, other);
    EXPECT_TRUE(collection->vector_places(kEmbedder.fingerprint())->places.empty());
    const auto missing = collection->without_vector(kEmbedder.fingerprint(), 0, 10);
    ASSERT_EQ(missing->size(), 1u);
    const std::string_view text = missing->front().text;
    ASSERT_TRUE(
        collection->set_vectors(*missing, kEmbedder.fingerprint(), *kEmbedder.embed({&text, 1}))
            .ok());
    EXPECT_TRUE(collection->without_vector(kEmbedder.fingerprint(), 0, 10)->empty());
    EXPECT_EQ(collection->vector_places(kEmbedder.fingerprint())->places.size(), 1u);
    EXPECT_TRUE(collection->vector_places(other.fingerprint())->places.empty());
}

TEST_F(CollectionTest, SearchesNothingOfAnotherEmbedder) {
    const test::WordEmbedder other(3);
    const auto writer = open();
    put(*writer, "/a", {"The otter swims."});
    const auto search = CollectionSearch::open(open(), kEmbedder);
    ASSERT_TRUE(search.ok()) << search.error().message;
    EXPECT_EQ(texts(find(**search, "otter", 9)).size(), 1u);
    put(*writer, "/b", {"The otter sleeps.", "The heron flies."}, other);
    const auto refused = find(**search, "otter", 9);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(refused.error().message.find("2 of the collection's 3 chunks"), 0u)
        << refused.error().message;
    EXPECT_NE(refused.error().message.find("the embedder that"), std::string::npos) << "what to do";
    put(*writer, "/b", {"The otter sleeps."});
    EXPECT_EQ(texts(find(**search, "otter", 9)).size(), 2u);
}

TEST_F(CollectionTest, RefusesOtherFiles) {
    const auto file = folder_.path / "x.db";
    std::ofstream(file) << std::string(5000, 'x');
    const auto damaged = CollectionDatabase::open(file, Database::Access::kExisting, "x");
    ASSERT_FALSE(damaged.ok());
    EXPECT_EQ(damaged.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(damaged.error().message.find(file.string()), std::string::npos)
        << "clients see it too";
    EXPECT_EQ(CollectionDatabase::open(folder_.path / "y.db", Database::Access::kExisting, "y")
                  .error()
                  .code,
              ErrorCode::kNotFound);
}

TEST_F(CollectionTest, LeavesFilesOfOtherProgramsAsTheyAre) {
    const auto file = collection_file(folder_.path, "", "x");
    std::filesystem::create_directories(file.parent_path());
    (void)(*Database::open(file, Database::Access::kCreate, "x"))->execute("CREATE TABLE t (n)");
    const std::string before = read_file(file);
    CollectionStore store(folder_.path, kEmbedder);
    const auto refused = store.open("", "x", Database::Access::kCreate);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(refused.error().message.find("collection 'x': its file is no collection"), 0u);
    EXPECT_NE(refused.error().message.find("move " + file.string() + " away"), std::string::npos);
    EXPECT_EQ(read_file(file), before) << "its journal mode is in it";
    const auto searched = store.retrieve("", "x", "otter", 1);
    EXPECT_EQ(searched.error().message.find(folder_.path.string()), std::string::npos)
        << "clients see that";
}

TEST_F(CollectionTest, ChecksNames) {
    for (const char* name : {"a", "Docs-1_x.y", "1234567890"}) {
        EXPECT_TRUE(check_collection_name(name).ok()) << name;
    }
    for (const char* name : {"", ".", "..", "../x", "a/b", ".hidden", "a b", "ä", "a\\b"}) {
        EXPECT_FALSE(check_collection_name(name).ok()) << name;
    }
    EXPECT_FALSE(check_collection_name(std::string(65, 'a')).ok());
    EXPECT_FALSE(check_collection_name(std::string("a\0b", 3)).ok());
}

TEST_F(CollectionTest, KeepsTenantsApart) {
    put(*open("notes", "a"), "/a", {"The otter of a."});
    put(*open("notes", "b"), "/b", {"The otter of b."});
    put(*open("more", "b"), "/b", {"Nothing."});
    CollectionStore store(folder_.path, kEmbedder);
    EXPECT_EQ(texts(store.retrieve("a", "notes", "otter", 9)), Texts{"The otter of a."});
    EXPECT_EQ(texts(store.retrieve("b", "notes", "otter", 9)), Texts{"The otter of b."});
    EXPECT_EQ(store.retrieve("a", "more", "otter", 9).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(store.retrieve("c", "notes", "otter", 9).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(store.retrieve("a", "../b/notes", "otter", 9).error().code,
              ErrorCode::kInvalidArgument);
    const auto list = store.list("b");
    ASSERT_EQ(list.size(), 2u);
    EXPECT_EQ(list[0].name, "more");
    EXPECT_EQ(list[1].size.n_chunks, 1);
    EXPECT_TRUE(store.list("c").empty());
}

TEST_F(CollectionTest, ListsWithoutOpeningIndexes) {
    put(*open("a"), "/a", {"The otter swims."});
    put(*open("b"), "/b", {"The heron flies."});
    {
        CollectionStore store(folder_.path, kEmbedder);
        EXPECT_EQ(texts(store.retrieve("", "b", "heron", 1)).size(), 1u);
        EXPECT_EQ(store.list("").size(), 2u);
    }
    const auto index_of = [&](const char* name) {
        return collection_file(folder_.path, "", name).replace_extension(".vectors");
    };
    EXPECT_FALSE(std::filesystem::exists(index_of("a"))) << "one that is opened is saved";
    EXPECT_TRUE(std::filesystem::exists(index_of("b")));
}

TEST_F(CollectionTest, RemovesCollections) {
    const auto folder = collection_file(folder_.path, "", "notes").parent_path();
    put(*open("other"), "/b", {"Another otter."});
    const auto writer = open();
    put(*writer, "/a", {"The otter swims."});
    CollectionStore store(folder_.path, kEmbedder), elsewhere(folder_.path, kEmbedder);
    EXPECT_EQ(texts(store.retrieve("", "notes", "otter", 9)).size(), 1u);
    EXPECT_EQ(texts(elsewhere.retrieve("", "notes", "otter", 9)).size(), 1u);
    const Status removed = store.remove("", "notes");
    ASSERT_TRUE(removed.ok()) << removed.error().message;
    EXPECT_EQ(store.retrieve("", "notes", "otter", 9).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(elsewhere.retrieve("", "notes", "otter", 9).error().code, ErrorCode::kNotFound);
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        EXPECT_NE(entry.path().filename().string().find("other"), std::string::npos)
            << entry.path() << " is left";
    }
    EXPECT_EQ(store.remove("", "notes").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(store.remove("", "../notes").error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(store.remove("b", "other").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(store.list("").size(), 1u);
    put(*open(), "/a", {"The otter dives."});
    EXPECT_EQ(texts(store.retrieve("", "notes", "otter", 9)), Texts{"The otter dives."});
}

// An embedder that is busy with a text until it is asked for another one at the same time.
class MeetingEmbedder final : public TextEmbedder {
public:
    int32_t n_dims() const override { return kEmbedder.n_dims(); }
    Key128 fingerprint() const override { return kEmbedder.fingerprint(); }
    Result<std::vector<float>> embed(std::span<const std::string_view> texts) const override {
        std::unique_lock lock(mutex_);
        ++n_calls_;
        met_.notify_all();
        if (!met_.wait_for(lock, std::chrono::seconds(10), [this] { return n_calls_ == 2; })) {
            return Error{ErrorCode::kInternal, "nobody else came"};
        }
        return kEmbedder.embed(texts);
    }

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable met_;
    mutable int n_calls_ = 0;
};

TEST_F(CollectionTest, EmbedsQueriesAtTheSameTime) {
    put(*open(), "/a", {"The otter swims."});
    const MeetingEmbedder embedder;
    CollectionStore store(folder_.path, embedder);
    EXPECT_EQ(store.retrieve("", "missing", "otter", 1).error().code, ErrorCode::kNotFound)
        << "for which no embedder is asked";
    std::thread other(
        [&] { EXPECT_EQ(texts(store.retrieve("", "notes", "otter", 1)).size(), 1u); });
    EXPECT_EQ(texts(store.retrieve("", "notes", "swims", 1)).size(), 1u);
    other.join();
}

TEST_F(CollectionTest, SeesThatAFileWasReplaced) {
    CollectionStore store(folder_.path, kEmbedder);
    put(*open(), "/a", {"The otter swims."});
    EXPECT_EQ(texts(store.retrieve("", "notes", "otter", 9)).size(), 1u);
    const auto folder = collection_file(folder_.path, "", "notes").parent_path();
    std::filesystem::rename(folder, folder_.path / "old");
    EXPECT_EQ(store.retrieve("", "notes", "otter", 9).error().code, ErrorCode::kNotFound);
    put(*open(), "/a", {"The otter dives."});
    EXPECT_EQ(texts(store.retrieve("", "notes", "otter", 9)), Texts{"The otter dives."});
}

TEST_F(CollectionTest, ServesManyThreads) {
    const auto writer = open();
    put(*writer, "/a", {"The otter swims."});
    for (int i = 0; i < 40; ++i) put(*open("c" + std::to_string(i)), "/x", {"An otter."});
    CollectionStore store(folder_.path, kEmbedder);
    std::vector<std::thread> threads;
    std::atomic<size_t> n_found = 0;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 50; ++i) {
                const auto name = i % 2 == 0 ? "notes" : "c" + std::to_string((i * 7 + t) % 40);
                const auto found = store.retrieve("", name, "otter", 5);
                n_found += found.ok() ? found->size() : 0;
                (void)store.retrieve("", "missing", "otter", 5);
            }
        });
    }
    for (int i = 0; i < 10; ++i) put(*writer, "/a", {"The otter swims " + std::to_string(i)});
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(n_found, 200u);
}

TEST(CollectionService, DoesWorkOnOtherThreads) {
    const test::TestFolder folder;
    std::atomic<int> n_done = 0;
    {
        CollectionService service(folder.path, std::make_unique<test::WordEmbedder>());
        for (int i = 0; i < 100; ++i) ASSERT_TRUE(service.run([&] { ++n_done; }).ok());
        while (n_done < 100) std::this_thread::yield();
    }
    EXPECT_EQ(n_done, 100);
}

TEST(WordQuery, QuotesWords) {
    EXPECT_EQ(word_query("What's in a \"name\"? NEAR(x)"),
              R"("What" OR "s" OR "in" OR "a" OR "name" OR "NEAR" OR "x")");
    EXPECT_EQ(word_query("twice twice"), R"("twice")");
    EXPECT_EQ(word_query(" *?! "), "");
    EXPECT_EQ(word_query("Füße 水"), "\"Füße\" OR \"水\"");
}

TEST(RankFusion, AddsUpReciprocalRanks) {
    const Key128 a{0, 1}, b{0, 2}, c{0, 3};
    const std::vector<Key128> rankings[] = {{a, b}, {b, c}};
    const auto fused = fuse_ranks(rankings);
    ASSERT_EQ(fused.size(), 3u);
    EXPECT_EQ(fused[0].id, b);
    EXPECT_DOUBLE_EQ(fused[0].score, 1 / 62.0 + 1 / 61.0);
    EXPECT_EQ(fused[1].id, a);
    EXPECT_EQ(fused[2].id, c);
    const std::vector<Key128> equal[] = {{b}, {a}};
    EXPECT_EQ(fuse_ranks(equal)[0].id, a) << "equals by id";
}

}  // namespace
}  // namespace spolia
