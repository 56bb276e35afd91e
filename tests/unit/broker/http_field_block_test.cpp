#include "broker/http/field_block.h"

#include <gtest/gtest.h>

namespace spolia {
namespace {

TEST(FieldBlock, FindsWholeNamesWithoutCase) {
    std::string block;
    append_field(block, "X-Length", "1");
    append_field(block, "Length", "2: 3");
    append_field(block, "length", "4");
    EXPECT_EQ(block, "X-Length: 1\r\nLength: 2: 3\r\nlength: 4\r\n");
    EXPECT_EQ(field_value(block, "LENGTH"), "2: 3");
    EXPECT_EQ(field_value(block, "Leng"), "");
    EXPECT_FALSE(has_field(block, "Leng"));
    EXPECT_FALSE(has_field(block, "1"));
    erase_field(block, "length");
    EXPECT_EQ(block, "X-Length: 1\r\n");
    erase_field(block, "none");
    EXPECT_EQ(block, "X-Length: 1\r\n");
}

TEST(FieldBlock, ErasesWhatConnectionNames) {
    std::string block = "A: 1\r\nB: 2\r\nC: 3\r\nb: 4\r\n";
    erase_fields_named_by(block, " b ,, keep-alive,\tC");
    EXPECT_EQ(block, "A: 1\r\n");
    erase_fields_named_by(block, "");
    EXPECT_EQ(block, "A: 1\r\n");
}

}  // namespace
}  // namespace spolia
