#include "index/whole_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using test::TestFolder;
using ::testing::HasSubstr;

size_t n_files(const std::filesystem::path& folder) {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(WholeFile, IsReplacedInOneStep) {
    const TestFolder folder;
    const std::filesystem::path path = folder.path / "file";
    EXPECT_FALSE(read_whole_file(path).has_value());
    ASSERT_TRUE(replace_file(path, "old", "a test").ok());
    {
        Result<FileDraft> draft = FileDraft::create(path, "a test");
        ASSERT_TRUE(draft.ok());
        ASSERT_TRUE(draft->write("ne").ok());
        ASSERT_TRUE(draft->write("w").ok());
        EXPECT_EQ(read_whole_file(path), "old");
        ASSERT_TRUE(draft->publish().ok());
        EXPECT_EQ(read_whole_file(path), "new");
    }
    EXPECT_EQ(read_whole_file(path), "new");
    EXPECT_EQ(n_files(folder.path), 1u);
}

TEST(WholeFile, StaysWhenADraftIsGivenUp) {
    const TestFolder folder;
    const std::filesystem::path path = folder.path / "file";
    ASSERT_TRUE(replace_file(path, "old", "a test").ok());
    {
        Result<FileDraft> draft = FileDraft::create(path, "a test");
        ASSERT_TRUE(draft.ok());
        ASSERT_TRUE(draft->write("new").ok());
    }
    EXPECT_EQ(read_whole_file(path), "old");
    EXPECT_EQ(n_files(folder.path), 1u);
}

TEST(WholeFile, SaysWhatCouldNotBeWritten) {
    const TestFolder folder;
    const std::filesystem::path path = folder.path / "none" / "file";
    const Status status = replace_file(path, "new", "the list of tests");
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kIo);
    EXPECT_THAT(status.error().message, HasSubstr("the list of tests"));
    EXPECT_THAT(status.error().message, HasSubstr(path.string()));
}

TEST(WholeFile, IsSetAside) {
    const TestFolder folder;
    const std::filesystem::path path = folder.path / "file";
    ASSERT_TRUE(replace_file(path, "odd", "a test").ok());
    const std::filesystem::path aside = set_file_aside(path);
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_EQ(read_whole_file(aside), "odd");
}

}  // namespace
}  // namespace spolia
