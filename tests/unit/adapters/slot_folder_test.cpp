#include "adapters/llama_server/slot_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/support/fake_llama_server.h"
#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using ::testing::HasSubstr;

std::set<std::string> files_in(const std::filesystem::path& folder) {
    std::set<std::string> names;
    for (const auto& each : std::filesystem::directory_iterator(folder)) {
        names.insert(each.path().filename().string());
    }
    return names;
}

TEST(SlotFolder, RemovesWhatTheDeadLeftWhenItIsAlone) {
    const test::TestFolder folder;
    const auto leave = [&](const std::string& name) { std::ofstream(folder.path / name) << "x"; };
    leave("spolia-0123-0-slot0.bin");
    leave("other.bin");
    leave("spolia-notes.txt");
    const auto first = SlotFolder::open(folder.path);
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_EQ(files_in(folder.path), (std::set<std::string>{"other.bin", "spolia-notes.txt"}));

    const std::string name = (*first)->new_name("slot0");
    leave(name);
    const auto second = SlotFolder::open(folder.path);
    ASSERT_TRUE(second.ok()) << second.error().message;
    EXPECT_TRUE(files_in(folder.path).contains(name)) << "that one is in use";
}

TEST(SlotFolder, GivesNoNameTwice) {
    const test::TestFolder folder;
    const auto first = SlotFolder::open(folder.path);
    const auto second = SlotFolder::open(folder.path);
    std::set<std::string> names;
    for (int i = 0; i < 3; ++i) {
        names.insert((*first)->new_name("slot0"));
        names.insert((*second)->new_name("slot0"));
    }
    EXPECT_EQ(names.size(), 6u);
}

TEST(SlotFolder, ReadsWhatTheServerSaves) {
    const test::TestFolder folder;
    test::FakeLlamaServer server;
    server.directory = folder.path;
    server.set_tokens(1, {3, 4, 5});
    const LlamaServerClient client(server.call());
    const auto slots = SlotFolder::open(folder.path);
    const Result<std::string> saved = (*slots)->save(client, 1);
    ASSERT_TRUE(saved.ok()) << saved.error().message;
    const auto file = parse_slot_file(std::as_bytes(std::span(*saved)), server.form.layout);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->tokens, (std::vector<Token>{3, 4, 5}));
    EXPECT_TRUE(files_in(folder.path).empty());

    server.saves_nothing = true;
    EXPECT_THAT((*slots)->save(client, 1).error().message, HasSubstr("same folder"));
    server.directory.clear();
    EXPECT_THAT((*slots)->save(client, 1).error().message,
                HasSubstr("--slot-save-path " + folder.path.string()));
}

TEST(SlotFolder, SaysWhatToDoWhereThereIsNone) {
    const test::TestFolder folder;
    const auto none = SlotFolder::open(folder.path / "none");
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(none.error().message, HasSubstr("--slot-dir"));
}

}  // namespace
}  // namespace spolia
