#include "broker/rag/ingest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/rag/document_files.h"
#include "tests/support/test_folder.h"
#include "tests/support/word_embedder.h"

namespace spolia {
namespace {

namespace fs = std::filesystem;

class IngestTest : public ::testing::Test {
protected:
    IngestTest() {
        fs::create_directories(docs_);
        auto collection =
            CollectionDatabase::open(folder_.path / "c.db", Database::Access::kCreate, "c");
        collection_ = *std::move(collection);
    }

    void write(const std::string& name, const std::string& text) {
        fs::create_directories((docs_ / name).parent_path());
        std::ofstream(docs_ / name, std::ios::binary) << text;
    }

    // Cancels in front of document `n_max`.
    IngestReport take(std::vector<fs::path> paths = {}, size_t n_max = SIZE_MAX) {
        return take_with(embedder_, std::move(paths), n_max);
    }
    IngestReport take_with(const TextEmbedder& embedder, std::vector<fs::path> paths = {},
                           size_t n_max = SIZE_MAX) {
        if (paths.empty()) paths = {docs_};
        return report_of(ingest_files(*collection_, embedder, paths, listener(n_max)));
    }
    IngestReport take_texts(const std::vector<TextDocument>& texts) {
        return report_of(ingest_texts(*collection_, embedder_, texts, listener(SIZE_MAX)));
    }

    IngestListener listener(size_t n_max) {
        warnings_.clear();
        return {.progress = [n_max](size_t n_done, size_t) { return n_done < n_max; },
                .warn = [this](const std::string& what) { warnings_.push_back(what); }};
    }
    static IngestReport report_of(const Result<IngestReport>& report) {
        EXPECT_TRUE(report.ok()) << report.error().message;
        return report.ok() ? *report : IngestReport();
    }

    std::vector<std::string> sources() {
        std::vector<std::string> sources;
        const auto stamps = collection_->documents();
        for (const DocumentStamp& stamp : *stamps) sources.push_back(stamp.source);
        return sources;
    }

    bool warned(const std::string& words) const {
        return std::ranges::any_of(warnings_, [&](const std::string& warning) {
            return warning.find(words) != warning.npos;
        });
    }

    test::TestFolder folder_;
    const fs::path docs_ = fs::canonical(folder_.path) / "docs";
    const test::WordEmbedder embedder_;
    std::unique_ptr<CollectionDatabase> collection_;
    std::vector<std::string> warnings_;
};

using Sources = std::vector<std::string>;

TEST_F(IngestTest, FollowsTheFiles) {
    write("a.md", "# A\n\nOtters swim.");
    write("deep/er/b.txt", "Herons fly.");
    write("c.bin", "no document");
    write(".git/d.md", "hidden");
    IngestReport report = take();
    EXPECT_EQ(report.n_added, 2u);
    EXPECT_EQ(collection_->size()->n_chunks, 2);
    EXPECT_EQ(sources(), (Sources{"docs/a.md", "docs/deep/er/b.txt"}));

    report = take();
    EXPECT_EQ(report.n_unchanged, 2u);
    EXPECT_EQ(report.bytes_read, 0u);

    write("a.md", "# A\n\nOtters dive deep.");
    fs::remove(docs_ / "deep/er/b.txt");
    write("e.txt", "New.");
    report = take();
    EXPECT_EQ(report.n_replaced, 1u);
    EXPECT_EQ(report.n_removed, 1u);
    EXPECT_EQ(report.n_added, 1u);
    EXPECT_EQ(collection_->ranked_by_words("swim", 5)->size(), 0u);
    EXPECT_EQ(collection_->ranked_by_words("dive", 5)->size(), 1u);

    // Written again, and the same.
    fs::last_write_time(docs_ / "a.md", fs::file_time_type::clock::now() + std::chrono::hours(1));
    report = take();
    EXPECT_EQ(report.n_unchanged, 2u);
    EXPECT_GT(report.bytes_read, 0u);
    EXPECT_EQ(take().bytes_read, 0u);
}

TEST_F(IngestTest, EmbedsAnewForAnotherEmbedder) {
    const test::WordEmbedder other(3);
    write("a.md", "# A\n\nOtters swim.\n\n# B\n\nHerons fly.");
    write("b.txt", "Taxes are due.");
    EXPECT_EQ(take().n_embedded_anew, 0u);
    write("b.txt", "Taxes are paid.");
    const IngestReport report = take_with(other);
    EXPECT_EQ(report.n_embedded_anew, 2u) << "what is read anew is embedded once";
    EXPECT_EQ(report.n_unchanged, 1u);
    EXPECT_EQ(*collection_->n_without_vector(other.fingerprint()), 0);
    EXPECT_EQ(*collection_->n_without_vector(embedder_.fingerprint()), 3);
    const auto places = collection_->vector_places(other.fingerprint())->places;
    size_t n_read = 0;
    const auto check = [&](const Key128& key, std::span<const float> vector) -> Status {
        const std::string text = (*collection_->chunk(key))->text;
        const std::string_view view = text;
        EXPECT_EQ(std::vector(vector.begin(), vector.end()), *other.embed({&view, 1}));
        ++n_read;
        return {};
    };
    ASSERT_TRUE(collection_->read_vectors(places, check).ok());
    EXPECT_EQ(n_read, 3u);
    EXPECT_EQ(take_with(other).n_embedded_anew, 0u);
    EXPECT_EQ(take().n_embedded_anew, 3u) << "and back";
}

// An embedder that finds its vectors replaced by somebody's who ingests with another one.
class ContestedEmbedder final : public TextEmbedder {
public:
    explicit ContestedEmbedder(fs::path file) : file_(std::move(file)) {}

    int32_t n_dims() const override { return ours_.n_dims(); }
    Key128 fingerprint() const override { return ours_.fingerprint(); }
    Result<std::vector<float>> embed(std::span<const std::string_view> texts) const override {
        if (++n_calls > 9) return Error{ErrorCode::kInternal, "will it never end?"};
        const auto collection = CollectionDatabase::open(file_, Database::Access::kExisting, "c");
        const auto all = (*collection)->without_vector(theirs_.fingerprint(), 0, 999);
        std::vector<std::string_view> views;
        for (const auto& each : *all) views.push_back(each.text);
        const Status set =
            (*collection)->set_vectors(*all, theirs_.fingerprint(), *theirs_.embed(views));
        EXPECT_TRUE(set.ok()) << set.error().message;
        return ours_.embed(texts);
    }

    mutable int n_calls = 0;

private:
    const fs::path file_;
    const test::WordEmbedder ours_{5}, theirs_{7};
};

TEST_F(IngestTest, EndsBesideAnotherEmbedder) {
    std::vector<TextDocument> texts;
    for (int i = 0; i < 600; ++i) texts.push_back({std::to_string(i), "Otters swim."});
    take_texts(texts);
    const ContestedEmbedder contested(folder_.path / "c.db");
    const auto report = ingest_texts(*collection_, contested, {}, {});
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(report->n_embedded_anew, 600u);
    EXPECT_EQ(contested.n_calls, 3);
}

TEST_F(IngestTest, RemovesOnlyBelowWhatIsNamed) {
    write("a/x.txt", "one");
    write("a-b/y.txt", "two");
    write("z.txt", "three");
    take();
    fs::remove_all(docs_ / "a-b");
    fs::remove(docs_ / "z.txt");
    EXPECT_EQ(take({docs_ / "a"}).n_removed, 0u);
    EXPECT_EQ(take().n_removed, 2u);
    EXPECT_EQ(sources(), Sources{"docs/a/x.txt"});
}

TEST_F(IngestTest, TakesNamedFilesOfAnyEnding) {
    write("LICENSE", "Free.");
    const IngestReport report = take({docs_ / "LICENSE", docs_ / ".." / "docs" / "LICENSE"});
    EXPECT_EQ(report.n_added, 1u);
    EXPECT_EQ(sources(), Sources{"LICENSE"});
    const fs::path missing[] = {docs_ / "missing"};
    const auto failed = ingest_files(*collection_, embedder_, missing, {});
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().code, ErrorCode::kNotFound);
}

TEST_F(IngestTest, KeepsWhatItHadOfFilesThatCantBeRead) {
    write("a.txt", "Otters swim.");
    take();
    write("a.txt", std::string("bin\0ary", 7));
    write("b.md", "Fine.");
    const IngestReport report = take();
    EXPECT_EQ(report.n_failed, 1u);
    EXPECT_EQ(report.n_added, 1u);
    EXPECT_EQ(report.n_removed, 0u);
    EXPECT_TRUE(warned("a.txt: it is no text"));
    EXPECT_EQ(collection_->ranked_by_words("otters", 5)->size(), 1u);
}

// Its path is too long to be opened, whoever tries.
TEST_F(IngestTest, CountsFoldersThatCantBeLookedInto) {
    write("a.txt", "Otters swim.");
    const std::string name(200, 'x');
    int folder = ::open(docs_.c_str(), O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 25; ++i) {
        ASSERT_EQ(::mkdirat(folder, name.c_str(), 0700), 0);
        const int next = ::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY);
        ::close(folder);
        folder = next;
    }
    ::close(folder);
    const IngestReport report = take();
    EXPECT_EQ(report.n_added, 1u);
    EXPECT_EQ(report.n_failed, 1u);
    EXPECT_TRUE(warned("can't be looked into"));
}

TEST_F(IngestTest, FollowsNoLinks) {
    write("a.txt", "Otters swim.");
    const fs::path secret = folder_.path / "secret.txt";
    std::ofstream(secret) << "Secret.";
    fs::create_symlink(secret, docs_ / "out.txt");
    fs::create_symlink(folder_.path, docs_ / "up");
    fs::create_symlink(docs_ / "loop", docs_ / "loop");
    fs::create_directory_symlink(docs_, docs_ / "self");
    ASSERT_EQ(::mkfifo((docs_ / "pipe.txt").c_str(), 0600), 0);
    EXPECT_EQ(take().n_added, 1u);
    EXPECT_EQ(sources(), Sources{"docs/a.txt"});
    EXPECT_TRUE(warned("out.txt: a link that leads out"));
    EXPECT_TRUE(warned("up: a link that leads out"));
    EXPECT_TRUE(warned("loop: a link that leads nowhere"));
    EXPECT_EQ(warnings_.size(), 3u) << "a link to what is named is found there";
    EXPECT_FALSE(read_document_file(docs_ / "out.txt", 100).ok());
    EXPECT_FALSE(read_document_file(docs_ / "pipe.txt", 100).ok());
}

TEST_F(IngestTest, BoundsFiles) {
    write("a.txt", std::string(101, 'x'));
    EXPECT_FALSE(read_document_file(docs_ / "a.txt", 100).ok());
    EXPECT_EQ(read_document_file(docs_ / "a.txt", 101)->bytes.size(), 101u);
}

TEST_F(IngestTest, TakesTextsOfAProgram) {
    const TextDocument otters{"otters", "# Otters\n\nOtters swim.", TextFormat::kMarkdown};
    IngestReport report = take_texts({otters, {"herons", "Herons fly."}});
    EXPECT_EQ(report.n_added, 2u);
    EXPECT_EQ(report.bytes_read, 22u + 11u);
    EXPECT_EQ(sources(), (Sources{"herons", "otters"}));
    EXPECT_EQ(take_texts({otters}).n_unchanged, 1u);
    const auto found = collection_->ranked_by_words("swim", 5);
    ASSERT_EQ(found->size(), 1u);
    EXPECT_EQ((*collection_->chunk(found->front()))->heading, "Otters");

    report = take_texts({{"otters", "Otters dive."}, {"otters", "Otters sleep."}});
    EXPECT_EQ(report.n_replaced, 2u);
    EXPECT_EQ(collection_->size()->n_documents, 2);
    EXPECT_TRUE(collection_->ranked_by_words("dive", 5)->empty());
    EXPECT_EQ(collection_->ranked_by_words("sleep", 5)->size(), 1u);
    EXPECT_EQ(take_texts({{"otters", "Otters sleep.", TextFormat::kMarkdown}}).n_replaced, 1u)
        << "in another format";
}

TEST_F(IngestTest, FailsTextsThatAreNone) {
    const IngestReport report = take_texts({{"", "x"},
                                            {std::string(1025, 'n'), "x"},
                                            {"zeros", std::string("\0\0", 2)},
                                            {"good", "Otters swim."}});
    EXPECT_EQ(report.n_failed, 3u);
    EXPECT_EQ(report.n_added, 1u);
    EXPECT_TRUE(warned("zeros: it is no text"));
    EXPECT_EQ(report.warnings, warnings_);
}

TEST_F(IngestTest, KeepsTextsAndFilesApart) {
    write("a.txt", "Otters swim.");
    take();
    EXPECT_EQ(take_texts({{"docs/a.txt", "Herons fly."}}).n_added, 1u);
    EXPECT_EQ(sources(), (Sources{"docs/a.txt", "docs/a.txt"}));
    EXPECT_EQ(*collection_->remove_source("docs/a.txt"), 2u);
    EXPECT_EQ(*collection_->remove_source("docs/a.txt"), 0u);
    EXPECT_TRUE(collection_->ranked_by_words("otters herons", 5)->empty());

    EXPECT_EQ(take().n_added, 1u);
    EXPECT_EQ(take_texts({{"docs/a.txt", "Herons fly."}}).n_added, 1u);
    fs::remove(docs_ / "a.txt");
    EXPECT_EQ(take().n_removed, 1u);
    EXPECT_EQ(collection_->ranked_by_words("otters herons", 5)->size(), 1u) << "the text";
}

TEST_F(IngestTest, StopsWhereItIsTold) {
    for (int i = 0; i < 5; ++i) write(std::to_string(i) + ".txt", "Otters swim.");
    take();
    write("9.txt", "Herons fly.");
    fs::remove(docs_ / "0.txt");
    const IngestReport report = take({}, 3);
    EXPECT_TRUE(report.cancelled);
    EXPECT_EQ(report.n_unchanged, 3u);
    EXPECT_EQ(report.n_removed, 0u) << "what is gone was not looked for to the end";
    EXPECT_EQ(collection_->size()->n_documents, 5);
    const IngestReport rest = take();
    EXPECT_FALSE(rest.cancelled);
    EXPECT_EQ(rest.n_added, 1u);
    EXPECT_EQ(rest.n_removed, 1u);
}

TEST_F(IngestTest, StopsWithinADocument) {
    std::string text;
    for (int i = 0; i < 300; ++i) text += "# H" + std::to_string(i) + "\n\nOtters.\n\n";
    const std::vector<TextDocument> texts = {{"long", text, TextFormat::kMarkdown}};
    int n_told = 0;
    const IngestListener listener{.progress = [&](size_t, size_t) { return ++n_told < 2; },
                                  .warn = {}};
    const auto report = ingest_texts(*collection_, embedder_, texts, listener);
    ASSERT_TRUE(report.ok());
    EXPECT_TRUE(report->cancelled);
    EXPECT_EQ(report->n_added, 0u);
    EXPECT_EQ(collection_->size()->n_chunks, 0);
    ASSERT_TRUE(ingest_texts(*collection_, embedder_, texts, {}).ok());
    EXPECT_EQ(collection_->size()->n_chunks, 300);
}

TEST_F(IngestTest, GivesTextsTheVectorsOfItsEmbedder) {
    take_texts({{"otters", "Otters swim."}});
    const test::WordEmbedder other(3);
    const auto report = ingest_texts(*collection_, other, {}, {});
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_EQ(report->n_embedded_anew, 1u);
    EXPECT_EQ(collection_->vector_places(other.fingerprint())->places.size(), 1u);
}

TEST_F(IngestTest, MakesVectorsOfAnotherEmbedderAnew) {
    write("a.txt", "Otters swim.");
    take();
    const test::WordEmbedder other(3);
    const fs::path paths[] = {docs_};
    const IngestListener silent{.progress = [](size_t, size_t) { return true; },
                                .warn = [](const std::string&) {}};
    const auto report = ingest_files(*collection_, other, paths, silent);
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->n_unchanged, 1u);
    EXPECT_EQ(collection_->vector_places(other.fingerprint())->places.size(), 1u);
}

}  // namespace
}  // namespace spolia
