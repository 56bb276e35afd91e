#include "index/result.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <set>
#include <string>
#include <utility>

namespace spolia {
namespace {

TEST(ResultTest, HoldsAValueOrAnError) {
    const Result<int> value = 7;
    ASSERT_TRUE(value.ok());
    EXPECT_EQ(*value, 7);

    const Result<int> failure = Error{ErrorCode::kNotFound, "no such block"};
    ASSERT_FALSE(failure);
    EXPECT_EQ(failure.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(failure.error().message, "no such block");
}

TEST(ResultTest, GivesItsValueToBeChanged) {
    Result<std::string> text = std::string("kept");
    text.value() += "!";
    EXPECT_EQ(*text, "kept!");
    EXPECT_EQ(text->size(), 5u);
}

TEST(ResultTest, GivesAwayWhatCanOnlyBeMoved) {
    Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
    const std::unique_ptr<int> taken = *std::move(result);
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(*taken, 3);
}

TEST(ResultTest, StatusIsOkUnlessGivenAnError) {
    const Status fine;
    EXPECT_TRUE(fine.ok());
    const Status broken = Error{ErrorCode::kIo, "disk full"};
    EXPECT_FALSE(broken.ok());
    EXPECT_EQ(broken.error().message, "disk full");
}

TEST(ResultTest, EveryCodeHasItsOwnName) {
    constexpr std::array kCodes = {ErrorCode::kInvalidArgument, ErrorCode::kNotFound,
                                   ErrorCode::kUnsupported,     ErrorCode::kContextTooLong,
                                   ErrorCode::kCorrupt,         ErrorCode::kIo,
                                   ErrorCode::kOutOfMemory,     ErrorCode::kOverloaded,
                                   ErrorCode::kCancelled,       ErrorCode::kInternal};
    std::set<std::string_view> names;
    for (const ErrorCode code : kCodes) names.insert(to_string(code));
    EXPECT_EQ(names.size(), kCodes.size());
    EXPECT_EQ(to_string(ErrorCode::kContextTooLong), "context_too_long");
}

}  // namespace
}  // namespace spolia
