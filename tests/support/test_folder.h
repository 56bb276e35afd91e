#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace spolia::test {

// A folder of the running test's own; gone with this.
struct TestFolder {
    TestFolder()
        : path(std::filesystem::path(testing::TempDir()) /
               ("spolia_" + std::to_string(::getpid()) + "_" +
                testing::UnitTest::GetInstance()->current_test_info()->name())) {
        std::filesystem::create_directories(path);
    }
    ~TestFolder() { std::filesystem::remove_all(path); }
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;

    const std::filesystem::path path;
};

}  // namespace spolia::test
