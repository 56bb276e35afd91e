#include "reuse/block_directory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <chrono>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "reuse/block_file.h"
#include "reuse/block_store.h"
#include "tests/unit/reuse/store_fixture.h"

namespace spolia {
namespace {

namespace fs = std::filesystem;
using test::block_path;
using test::count_entries;
using test::is_block;
using test::key_of;
using test::kLayout;
using test::kModel;
using test::make_block;
using test::meta_of;
using test::model_path;
using test::read_file;
using test::TempDirectory;
using test::tokens_of;
using test::write_file;

std::unique_ptr<BlockStore> open_store(const fs::path& directory) {
    auto store = BlockStore::open({.directory = directory}, kModel, kLayout);
    EXPECT_TRUE(store.ok());
    return std::move(store).value();
}

void fill(const fs::path& directory, std::initializer_list<uint64_t> ids) {
    const auto store = open_store(directory);
    for (const uint64_t id : ids) {
        ASSERT_TRUE(store->insert(make_block(id)).ok());
    }
}

bool holds(BlockStore& store, uint64_t id) {
    const BlockPin pin = store.find(key_of(id), tokens_of(id));
    return pin && is_block(*pin, id);
}

struct Damage {
    std::string name;
    std::function<void(std::string&)> apply;
};

void flip(char& byte) { byte = static_cast<char>(byte ^ 1); }

// One of every kind; the header of block 3 is 192 bytes long, 6 token ids and 16 of checksum
// included.
std::vector<Damage> damages() {
    std::vector<Damage> list;
    const std::pair<const char*, size_t> fields[] = {
        {"magic", 0},         {"version", 8},       {"provenance", 12}, {"model", 16},
        {"key", 32},          {"left context", 48}, {"layers", 64},     {"k_dim", 68},
        {"v_dim", 72},        {"rows", 76},         {"frame row", 80},  {"reserved", 84},
        {"payload size", 88}, {"payload hash", 96}, {"tokens", 112},    {"header hash", 136},
        {"padding", 160},     {"first row", 192},   {"middle row", 300}};
    for (const auto& [name, at] : fields) {
        list.push_back({name, [at = at](std::string& file) { flip(file[at]); }});
    }
    list.push_back({"last byte", [](std::string& file) { flip(file.back()); }});
    list.push_back({"empty", [](std::string& file) { file.clear(); }});
    for (const size_t size : {1, 50, 111, 112, 130, 160, 192, 200}) {
        list.push_back(
            {"cut to " + std::to_string(size), [size](std::string& file) { file.resize(size); }});
    }
    list.push_back({"one byte more", [](std::string& file) { file.push_back('\0'); }});
    list.push_back({"a page more", [](std::string& file) { file.append(4096, '\0'); }});
    list.push_back({"zeroed", [](std::string& file) { file.assign(file.size(), '\0'); }});
    list.push_back({"rows zeroed", [](std::string& file) { file.replace(192, 64, 64, '\0'); }});
    list.push_back({"text", [](std::string& file) { file = "not a block at all"; }});
    return list;
}

// Block 3 + 5i, of the same size as block 3, is for damage i; block 4 stays whole.
uint64_t damaged_id(size_t i) { return 3 + 5 * i; }

void fill_for(const fs::path& directory, size_t n_damages) {
    const auto store = open_store(directory);
    ASSERT_TRUE(store->insert(make_block(4)).ok());
    for (size_t i = 0; i < n_damages; ++i) {
        ASSERT_TRUE(store->insert(make_block(damaged_id(i))).ok());
    }
}

// The damaged files' content.
std::vector<std::string> damage_all(const fs::path& directory, const std::vector<Damage>& list) {
    std::vector<std::string> files;
    for (size_t i = 0; i < list.size(); ++i) {
        const fs::path path = block_path(directory, damaged_id(i));
        std::string file = read_file(path);
        EXPECT_EQ(file.size(), 192 + 6 * kLayout.row_bytes());
        list[i].apply(file);
        write_file(path, file);
        files.push_back(std::move(file));
    }
    return files;
}

void expect_set_aside(const fs::path& directory, BlockStore& store, const std::vector<Damage>& list,
                      const std::vector<std::string>& files) {
    for (size_t i = 0; i < list.size(); ++i) {
        SCOPED_TRACE(list[i].name);
        const uint64_t id = damaged_id(i);
        EXPECT_FALSE(store.find(key_of(id), tokens_of(id)));
        EXPECT_FALSE(store.find(key_of(id), tokens_of(id)));
        const fs::path place = block_path(directory, id);
        EXPECT_FALSE(fs::exists(place));
        EXPECT_EQ(read_file(model_path(directory) / "set_aside" / place.filename()), files[i]);
    }
    EXPECT_TRUE(holds(store, 4));
    EXPECT_EQ(store.stats().files_set_aside, list.size());
    EXPECT_EQ(store.stats().disk_blocks, 1u);
    EXPECT_EQ(store.stats().ram_bytes, KvBlock::bytes_total(meta_of(4)));
}

TEST(BlockDirectory, SetsAsideWhatWasDamagedWhileClosed) {
    const TempDirectory directory;
    const std::vector<Damage> list = damages();
    fill_for(directory.path(), list.size());
    const std::vector<std::string> files = damage_all(directory.path(), list);
    const auto store = open_store(directory.path());
    expect_set_aside(directory.path(), *store, list, files);
}

TEST(BlockDirectory, SetsAsideWhatWasDamagedWhileOpen) {
    const TempDirectory directory;
    const std::vector<Damage> list = damages();
    fill_for(directory.path(), list.size());
    const auto store = open_store(directory.path());
    ASSERT_EQ(store->stats().disk_blocks, list.size() + 1);
    const std::vector<std::string> files = damage_all(directory.path(), list);
    expect_set_aside(directory.path(), *store, list, files);
    EXPECT_NE(store->stats().last_disk_error, "");
    ASSERT_TRUE(store->insert(make_block(3)).ok());
    store->flush();
    EXPECT_EQ(store->stats().disk_blocks, 2u);
    EXPECT_EQ(store->stats().last_disk_error, "");
}

TEST(BlockDirectory, SetsAsideForeignFiles) {
    const TempDirectory directory;
    fill(directory.path(), {1, 2, 3});
    const fs::path model = model_path(directory.path());
    const fs::path folder = block_path(directory.path(), 1).parent_path();
    write_file(folder / "readme.txt", "mine");
    fs::create_directory(folder / "folder");
    fs::copy_file(block_path(directory.path(), 2), block_path(directory.path(), 1),
                  fs::copy_options::overwrite_existing);
    fs::create_symlink(block_path(directory.path(), 2),
                       folder / (folder.filename().string() + std::string(30, '0') + ".kv"));
    fs::create_directories(model / "incoming");
    write_file(model / "incoming" / "notes", "mine too");
    write_file(directory.path() / "other", "outside");

    const auto store = open_store(directory.path());
    EXPECT_EQ(store->stats().files_set_aside, 5u);
    EXPECT_EQ(store->stats().disk_blocks, 2u);
    EXPECT_FALSE(holds(*store, 1));
    EXPECT_TRUE(holds(*store, 2));
    EXPECT_TRUE(holds(*store, 3));
    EXPECT_EQ(read_file(model / "set_aside" / "readme.txt"), "mine");
    EXPECT_EQ(read_file(model / "set_aside" / "notes"), "mine too");
    EXPECT_TRUE(fs::is_directory(model / "set_aside" / "folder"));
    EXPECT_EQ(read_file(directory.path() / "other"), "outside");
}

TEST(BlockDirectory, SetsAsideBlocksOfAnotherModelOrLayout) {
    const TempDirectory directory;
    fill(directory.path(), {1});
    {
        const Key128 other{7, 7};
        const fs::path copy =
            directory.path() / other.hex() /
            fs::relative(block_path(directory.path(), 1), model_path(directory.path()));
        fs::create_directories(copy.parent_path());
        fs::copy_file(block_path(directory.path(), 1), copy);
        const auto store = BlockStore::open({.directory = directory.path()}, other, kLayout);
        ASSERT_TRUE(store.ok());
        EXPECT_EQ((*store)->stats().files_set_aside, 1u);
    }
    KvLayout layout = kLayout;
    layout.n_layer = 1;
    const auto store = BlockStore::open({.directory = directory.path()}, kModel, layout);
    ASSERT_TRUE(store.ok());
    EXPECT_EQ((*store)->stats().files_set_aside, 1u);
}

TEST(BlockDirectory, KeepsEveryFileThatItSetAside) {
    const TempDirectory directory;
    for (int i = 0; i < 3; ++i) {
        fill(directory.path(), {1});
        write_file(block_path(directory.path(), 1), "broken " + std::to_string(i));
        (void)open_store(directory.path());
    }
    const fs::path aside = model_path(directory.path()) / "set_aside";
    std::set<std::string> contents;
    for (const auto& entry : fs::directory_iterator(aside)) {
        contents.insert(read_file(entry.path()));
    }
    EXPECT_EQ(contents, (std::set<std::string>{"broken 0", "broken 1", "broken 2"}));
}

TEST(BlockDirectory, RemovesWhatAKilledWriteLeft) {
    const TempDirectory directory;
    fill(directory.path(), {1});
    const fs::path left = model_path(directory.path()) / "incoming" / (key_of(2).hex() + ".kv");
    write_file(left, "half a blo");
    const auto store = open_store(directory.path());
    EXPECT_FALSE(fs::exists(left));
    EXPECT_EQ(store->stats().files_set_aside, 0u);
    EXPECT_EQ(store->stats().disk_blocks, 1u);
}

// Runs `work` in a process of its own, which does not come back from it; its wait status.
int status_of_child(const std::function<void()>& work) {
    const pid_t child = ::fork();
    if (child == 0) {
        work();
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}

// The system kills a process at the very byte where a file would exceed its limit.
TEST(BlockDirectory, SurvivesAProcessKilledAtAnyByteOfAWrite) {
    const auto header_bytes = static_cast<rlim_t>(encode_block_header(*make_block(2)).size());
    const auto file_bytes = static_cast<rlim_t>(block_file_bytes(meta_of(2)));
    for (const rlim_t limit : {rlim_t{0}, rlim_t{1}, rlim_t{8}, rlim_t{111}, rlim_t{112},
                               header_bytes - 1, header_bytes, header_bytes + 1, file_bytes - 1}) {
        SCOPED_TRACE(limit);
        const TempDirectory directory;
        const int status = status_of_child([&] {
            auto store = BlockStore::open({.directory = directory.path()}, kModel, kLayout);
            (void)(*store)->insert(make_block(1));
            (*store)->flush();
            const rlimit core{0, 0};
            ::setrlimit(RLIMIT_CORE, &core);
            const rlimit bytes{limit, limit};
            ::setrlimit(RLIMIT_FSIZE, &bytes);
            ::signal(SIGXFSZ, SIG_DFL);
            (void)(*store)->insert(make_block(2));
            (*store)->flush();
        });
        ASSERT_TRUE(WIFSIGNALED(status));
        ASSERT_EQ(WTERMSIG(status), SIGXFSZ);
        const fs::path incoming = model_path(directory.path()) / "incoming";
        EXPECT_EQ(count_entries(incoming), 1u);

        const auto store = open_store(directory.path());
        EXPECT_TRUE(holds(*store, 1));
        EXPECT_FALSE(holds(*store, 2));
        EXPECT_EQ(count_entries(incoming), 0u);
        EXPECT_EQ(store->stats().files_set_aside, 0u);
        EXPECT_EQ(store->stats().disk_blocks, 1u);
    }
}

TEST(BlockDirectory, SurvivesAProcessKilledAtAnyTime) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 10; ++round) {
        const TempDirectory directory;
        int channel[2];
        ASSERT_EQ(::pipe(channel), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            auto store = BlockStore::open({.directory = directory.path()}, kModel, kLayout);
            for (uint8_t id = 0; id < 200; ++id) {
                (void)(*store)->insert(make_block(id));
                (*store)->flush();
                (void)!::write(channel[1], &id, 1);
            }
            ::_exit(0);
        }
        ::close(channel[1]);
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 20000));
        ::kill(child, SIGKILL);
        int status = 0;
        ::waitpid(child, &status, 0);
        int n_flushed = 0;
        for (uint8_t id = 0; ::read(channel[0], &id, 1) == 1;) {
            n_flushed = id + 1;
        }
        ::close(channel[0]);

        const auto store = open_store(directory.path());
        for (int id = 0; id < 200; ++id) {
            const BlockPin pin = store->find(key_of(id), tokens_of(id));
            ASSERT_TRUE(pin || id >= n_flushed) << id << " of " << n_flushed;
            ASSERT_TRUE(!pin || is_block(*pin, id));
        }
        EXPECT_EQ(store->stats().files_set_aside, 0u);
        EXPECT_EQ(count_entries(model_path(directory.path()) / "incoming"), 0u);
    }
}

}  // namespace
}  // namespace spolia
