#include "broker/sample/kept_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace spolia {
namespace {

class KeptFile : public ::testing::Test {
protected:
    KeptFile()
        : folder_(std::filesystem::temp_directory_path() /
                  ("spolia_kept_file_" + std::to_string(::getpid()))) {}
    ~KeptFile() override { std::filesystem::remove_all(folder_); }

    Status keep(const std::string& text) {
        return keep_file(path_, std::as_bytes(std::span(text)));
    }
    std::string text() const {
        std::ifstream file(path_, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    size_t files_in_folder() const {
        const std::filesystem::directory_iterator files(path_.parent_path());
        return static_cast<size_t>(std::distance(begin(files), end(files)));
    }

    const std::filesystem::path folder_;
    const std::filesystem::path path_ = folder_ / "inner" / "model.gguf";
};

TEST_F(KeptFile, IsWrittenWithItsFolder) {
    ASSERT_TRUE(keep(std::string("a\0b", 3)).ok());
    EXPECT_EQ(text(), std::string("a\0b", 3));
    EXPECT_EQ(files_in_folder(), 1U);
}

TEST_F(KeptFile, StaysAsItIsWhereItIsTheSame) {
    ASSERT_TRUE(keep("content").ok());
    const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(24);
    std::filesystem::last_write_time(path_, long_ago);
    ASSERT_TRUE(keep("content").ok());
    EXPECT_EQ(std::filesystem::last_write_time(path_), long_ago);
}

TEST_F(KeptFile, IsWrittenAgainWhereItDiffers) {
    for (const char* other : {"", "cont", "kontent", "content and more"}) {
        ASSERT_TRUE(keep(other).ok());
        ASSERT_TRUE(keep("content").ok());
        EXPECT_EQ(text(), "content");
        EXPECT_EQ(files_in_folder(), 1U);
    }
}

TEST_F(KeptFile, SaysWhereItCanNotBe) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "inner") << "a file, where a folder should be";
    const Status status = keep("content");
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message.find(path_.string()), std::string::npos);
}

}  // namespace
}  // namespace spolia
