#include "index/characters.h"

#include <gtest/gtest.h>

namespace spolia {
namespace {

TEST(Characters, HaveAKindACodeAndALength) {
    struct Case {
        const char* text;
        CharacterKind kind;
        uint32_t code;
        size_t bytes;
    };
    for (const Case& c :
         {Case{"a", CharacterKind::kLetter, 'a', 1}, Case{"Q", CharacterKind::kUpper, 'Q', 1},
          Case{"7", CharacterKind::kDigit, '7', 1}, Case{"_", CharacterKind::kUnderscore, '_', 1},
          Case{" ", CharacterKind::kOther, ' ', 1},
          Case{"\xc3\xa9", CharacterKind::kLetter, 0xe9, 2},
          Case{"\xe2\x80\x94", CharacterKind::kOther, 0x2014, 3},
          Case{"\xe4\xb8\xad", CharacterKind::kIdeograph, 0x4e2d, 3},
          Case{"\xf0\x9f\x98\x80", CharacterKind::kOther, 0x1f600, 4}}) {
        const Character character = character_at(c.text);
        EXPECT_EQ(character.kind, c.kind) << c.text;
        EXPECT_EQ(character.code, c.code) << c.text;
        EXPECT_EQ(character.bytes, c.bytes) << c.text;
    }
}

TEST(Characters, AreLettersWhereTheyAreNotUtf8) {
    for (const char* text : {"\xff", "\xc3", "\xe4\xb8", "\xe4\xb8z", "\x80", "\xc0\xaf"}) {
        EXPECT_EQ(character_at(text).kind, CharacterKind::kLetter) << text;
        EXPECT_EQ(character_at(text).bytes, 1u) << text;
    }
}

}  // namespace
}  // namespace spolia
