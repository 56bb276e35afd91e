#include "broker/sdk/local_collection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "spolia/broker.h"
#include "tests/support/fragile_embedder.h"
#include "tests/support/test_folder.h"
#include "tests/support/word_embedder.h"
#include "tests/unit/broker/fake_service.h"

namespace spolia {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const TextDocument kOtters{"otters", "The otter swims in the river."};
const TextDocument kHerons{"herons", "The heron stands in the river on one leg."};

class LocalCollectionTest : public ::testing::Test {
protected:
    std::unique_ptr<Collection> open(const std::string& name = "notes",
                                     const std::string& tenant = "") {
        return open_in(store_, name, tenant);
    }
    std::unique_ptr<Collection> open_in(CollectionStore& store, const std::string& name = "notes",
                                        const std::string& tenant = "") {
        auto collection = open_local_collection(service_, store, embedder_, tenant, name);
        EXPECT_TRUE(collection.ok()) << collection.error().message;
        return *std::move(collection);
    }

    static std::vector<std::string> documents(const Result<std::vector<ScoredChunk>>& chunks) {
        EXPECT_TRUE(chunks.ok()) << chunks.error().message;
        std::vector<std::string> documents;
        if (chunks.ok()) {
            for (const ScoredChunk& chunk : *chunks) documents.push_back(chunk.document);
        }
        return documents;
    }

    test::TestFolder folder_;
    const test::WordEmbedder embedder_;
    ::spolia::testing::FakeService service_;
    CollectionStore store_{folder_.path / "collections", embedder_};
};

TEST_F(LocalCollectionTest, RetrievesWhatWasAdded) {
    const auto collection = open();
    EXPECT_EQ(collection->name(), "notes");
    EXPECT_TRUE(collection->retrieve("otter")->empty());
    EXPECT_EQ(collection->add_documents({kOtters, kHerons})->n_added, 2u);
    const auto found = collection->retrieve("Does the otter swim in the river?", 2);
    ASSERT_EQ(documents(found), (std::vector<std::string>{"otters", "herons"}));
    const ScoredChunk& best = found->front();
    EXPECT_EQ(best.text, "The otter swims in the river.\n");
    EXPECT_NEAR(best.score, 2 / 61.0, 1e-12);
    EXPECT_GT(best.score, (*found)[1].score);
    EXPECT_EQ(best.id.size(), 32u);
    EXPECT_THAT(documents(collection->retrieve("otter river", 2, ChunkOrder::kDocument)),
                ElementsAre("herons", "otters"));
    EXPECT_EQ(collection->size()->n_chunks, 2);
}

TEST_F(LocalCollectionTest, ListsAndRemovesDocuments) {
    fs::create_directories(folder_.path / "docs");
    std::ofstream(folder_.path / "docs" / "a.txt") << "Taxes are due in May.";
    const auto collection = open();
    ASSERT_TRUE(collection->ingest({folder_.path / "docs"}).ok());
    ASSERT_TRUE(collection->add_documents({kOtters}).ok());
    const auto infos = collection->documents();
    ASSERT_EQ(infos->size(), 2u);
    EXPECT_EQ((*infos)[0].name, "docs/a.txt");
    EXPECT_EQ((*infos)[0].path, fs::canonical(folder_.path / "docs" / "a.txt"));
    EXPECT_EQ((*infos)[1].name, "otters");
    EXPECT_EQ((*infos)[1].path, "");
    EXPECT_EQ((*infos)[1].bytes, kOtters.text.size());
    EXPECT_EQ(*collection->remove_document("otters"), 1u);
    EXPECT_EQ(*collection->remove_document("otters"), 0u);
    EXPECT_THAT(documents(collection->retrieve("otter taxes")), ElementsAre("docs/a.txt"));
    EXPECT_EQ(collection->ingest({folder_.path / "missing"}).error().code, ErrorCode::kNotFound);
}

TEST_F(LocalCollectionTest, RefusesWhatItCantDo) {
    EXPECT_EQ(open_local_collection(service_, store_, embedder_, "", "../x").error().code,
              ErrorCode::kInvalidArgument);
    const auto collection = open();
    for (const int32_t k : {0, -1, 65}) {
        EXPECT_EQ(collection->retrieve("otter", k).error().code, ErrorCode::kInvalidArgument) << k;
    }
    EXPECT_EQ(collection->retrieve(" \n").error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(collection->retrieve("otter", 64).ok());
    std::ofstream(folder_.path / "file") << "no folder";
    CollectionStore nowhere(folder_.path / "file", embedder_);
    EXPECT_EQ(open_local_collection(service_, nowhere, embedder_, "", "x").error().code,
              ErrorCode::kIo);
}

TEST_F(LocalCollectionTest, EncodesAhead) {
    const auto collection = open();
    ASSERT_TRUE(collection->add_documents({kOtters, kHerons}).ok());
    EXPECT_FALSE(collection->retrieve("otter", 1)->front().warm);
    size_t n_told = 0;
    const auto first = collection->encode_ahead([&](size_t n_done, size_t n_all) {
        EXPECT_EQ(n_done, n_told++);
        EXPECT_EQ(n_all, 2u);
        return n_done == 0;
    });
    EXPECT_TRUE(first->cancelled);
    EXPECT_EQ(first->n_encoded, 1u);
    const auto rest = collection->encode_ahead();
    EXPECT_EQ(rest->n_warm, 1u);
    EXPECT_EQ(rest->n_encoded, 1u);
    EXPECT_FALSE(rest->cancelled);
    const auto found = collection->retrieve("river", 2);
    ASSERT_EQ(found->size(), 2u);
    for (const ScoredChunk& chunk : *found) EXPECT_TRUE(chunk.warm);
    // Another tenant's KV is another one.
    const auto other = open("notes", "b");
    ASSERT_TRUE(other->add_documents({kOtters}).ok());
    EXPECT_FALSE(other->retrieve("otter", 1)->front().warm);
}

TEST_F(LocalCollectionTest, TellsShortTextsFromThoseThatFail) {
    const auto collection = open();
    ASSERT_TRUE(collection->add_documents({{"a", "short"}, kOtters}).ok());
    const auto report = collection->encode_ahead();
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(report->n_too_short, 1u);
    EXPECT_EQ(report->n_encoded, 1u);
    ASSERT_TRUE(collection->add_documents({{"b", "unreadable"}}).ok());
    EXPECT_EQ(collection->encode_ahead().error().code, ErrorCode::kInvalidArgument);
}

TEST_F(LocalCollectionTest, IngestsWithItsOwnEmbedder) {
    const test::FragileEmbedder hasty(Error{ErrorCode::kOverloaded, "busy"});
    CollectionStore store(folder_.path / "collections", hasty);
    const auto collection = open_in(store);
    ASSERT_TRUE(collection->add_documents({kOtters}).ok());
    std::ofstream(folder_.path / "herons.txt") << kHerons.text;
    EXPECT_EQ(collection->ingest({folder_.path / "herons.txt"})->n_added, 1u);
    EXPECT_EQ(collection->retrieve("otter").error().code, ErrorCode::kOverloaded);
}

TEST_F(LocalCollectionTest, SeesWhatAnotherProcessWrites) {
    CollectionStore others(folder_.path / "collections", embedder_);
    const auto ours = open();
    const auto theirs = open_in(others);
    ASSERT_TRUE(ours->add_documents({kOtters}).ok());
    EXPECT_THAT(documents(theirs->retrieve("otter")), ElementsAre("otters"));
    ASSERT_TRUE(theirs->add_documents({kHerons}).ok());
    EXPECT_EQ(documents(ours->retrieve("river")).size(), 2u);
    EXPECT_EQ(*ours->remove_document("herons"), 1u);
    EXPECT_THAT(documents(theirs->retrieve("river")), ElementsAre("otters"));
}

TEST_F(LocalCollectionTest, TakesManyWritersAtOnce) {
    constexpr int kWriters = 3;
    constexpr int kDocuments = 12;
    std::vector<std::thread> threads;
    for (int w = 0; w < kWriters; ++w) {
        threads.emplace_back([this, w] {
            CollectionStore store(folder_.path / "collections", embedder_);
            const auto collection = open_in(store);
            for (int i = 0; i < kDocuments; ++i) {
                const std::string own = std::to_string(w) + "/" + std::to_string(i);
                // All write the second one.
                const auto report = collection->add_documents(
                    {{own, "Otter " + own}, {"shared/" + std::to_string(i), "A heron."}});
                ASSERT_TRUE(report.ok()) << report.error().message;
                ASSERT_TRUE(collection->retrieve("otter", 4).ok());
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(open()->size()->n_documents, (kWriters + 1) * kDocuments);
    EXPECT_EQ(open()->size()->n_chunks, (kWriters + 1) * kDocuments);
    const auto found = open()->retrieve("heron", 64);
    EXPECT_EQ(std::ranges::count(*found, "A heron.\n", &ScoredChunk::text), kDocuments);
}

TEST(AddContext, MakesEachChunkAPartOfItsOwn) {
    Prompt prompt;
    prompt.messages = {{"system", {"Be brief."}}, {"user", {"Who swims?"}}, {"assistant", {"The"}}};
    ScoredChunk otters;
    otters.text = "Otters.\n";
    ScoredChunk herons;
    herons.text = "Herons.\n";
    ASSERT_TRUE(add_context(prompt, {herons, otters}).ok());
    EXPECT_THAT(prompt.messages[1].parts, ElementsAre("Herons.\n", "Otters.\n", "Who swims?"));
    EXPECT_THAT(prompt.messages[0].parts, ElementsAre("Be brief."));
    prompt.messages = {{"system", {"Be brief."}}};
    const Status refused = add_context(prompt, {otters});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(refused.error().message, HasSubstr("user"));
}

}  // namespace
}  // namespace spolia
