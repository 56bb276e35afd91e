#include "index/vector_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using test::TestFolder;
using ::testing::HasSubstr;

constexpr size_t kFloats = 1000;
constexpr uint64_t kBytes = kFloats * sizeof(float);

TEST(VectorMemory, GoesToDiskBeyondItsBound) {
    const TestFolder folder;
    VectorMemory memory(2 * kBytes, folder.path);
    std::vector<VectorMemory::Floats> all;
    for (size_t i = 0; i < 5; ++i) {
        Result<VectorMemory::Floats> floats = memory.take(kFloats);
        ASSERT_TRUE(floats.ok());
        all.push_back(*std::move(floats));
        EXPECT_EQ(reinterpret_cast<uintptr_t>(all.back().get()) % 64, 0u);
        std::fill_n(all.back().get(), kFloats, static_cast<float>(i));
    }
    EXPECT_EQ(memory.bytes_in_memory(), 2 * kBytes);
    EXPECT_EQ(memory.bytes_in_files(), 3 * kBytes);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path));
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(all[i][kFloats - 1], static_cast<float>(i));
    // What is given back is there again.
    all.erase(all.begin());
    EXPECT_EQ(memory.bytes_in_memory(), kBytes);
    EXPECT_TRUE(memory.take(kFloats).ok());
    all.clear();
    EXPECT_EQ(memory.bytes_in_memory() + memory.bytes_in_files(), 0u);
}

TEST(VectorMemory, SaysWhyItHasNone) {
    VectorMemory memory(kBytes, {});
    const auto beyond = memory.take(kFloats + 1);
    ASSERT_FALSE(beyond.ok());
    EXPECT_EQ(beyond.error().code, ErrorCode::kOutOfMemory);
    EXPECT_EQ(memory.bytes_in_memory(), 0u);

    const TestFolder folder;
    const auto no_folder = folder.path / "file" / "below";
    std::ofstream(folder.path / "file") << "no folder";
    const auto failed = VectorMemory(0, no_folder).take(kFloats);
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().code, ErrorCode::kIo);
    EXPECT_THAT(failed.error().message, HasSubstr(no_folder.string()));
    // More than a disk has.
    const auto full = VectorMemory(0, folder.path).take(size_t{1} << 55);
    ASSERT_FALSE(full.ok());
    EXPECT_EQ(full.error().code, ErrorCode::kIo);
}

TEST(VectorMemory, IsCountedByManyThreads) {
    VectorMemory memory(8 * kBytes, {});
    std::atomic<int> n_taken{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                for (int round = 0; round < 200; ++round) {
                    if (memory.take(kFloats).ok()) ++n_taken;
                    EXPECT_LE(memory.bytes_in_memory(), 8 * kBytes);
                }
            });
        }
    }
    EXPECT_EQ(n_taken, 800);
    EXPECT_EQ(memory.bytes_in_memory(), 0u);
}

}  // namespace
}  // namespace spolia
