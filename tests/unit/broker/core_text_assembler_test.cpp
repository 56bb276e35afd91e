#include "broker/core/text_assembler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace spolia {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Valid UTF-8 of whole bytes, written from the table of well-formed sequences (Unicode, table 3-7).
std::string sanitize(std::string_view bytes) {
    struct Form {
        std::vector<std::pair<int, int>> ranges;
    };
    static const std::array<Form, 9> kForms = {{
        {{{0x00, 0x7F}}},
        {{{0xC2, 0xDF}, {0x80, 0xBF}}},
        {{{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}}},
        {{{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}}},
        {{{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}}},
        {{{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}}},
        {{{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}},
        {{{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}},
        {{{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}}},
    }};
    std::string text;
    for (size_t at = 0; at < bytes.size();) {
        size_t longest = 0;
        bool whole = false;
        for (const Form& form : kForms) {
            size_t n = 0;
            while (n < form.ranges.size() && at + n < bytes.size()) {
                const int byte = static_cast<uint8_t>(bytes[at + n]);
                if (byte < form.ranges[n].first || byte > form.ranges[n].second) break;
                ++n;
            }
            if (n > longest) {
                longest = n;
                whole = n == form.ranges.size();
            }
        }
        text += whole ? bytes.substr(at, longest) : kReplacement;
        at += std::max<size_t>(longest, 1);
    }
    return text;
}

struct Reference {
    std::string text;
    std::string stop_word;
};

// The stop string that is complete first ends the text; of several, the longest.
Reference cut_at_stop(const std::string& text, const std::vector<std::string>& stops) {
    for (size_t end = 1; end <= text.size(); ++end) {
        const std::string_view head = std::string_view(text).substr(0, end);
        std::string found;
        for (const std::string& stop : stops) {
            if (!stop.empty() && head.ends_with(stop) && stop.size() > found.size()) found = stop;
        }
        if (!found.empty()) return {std::string(head.substr(0, end - found.size())), found};
    }
    return {text, {}};
}

bool valid_utf8(std::string_view text) { return sanitize(text) == text; }

TEST(TextAssembler, HoldsBackWhatMayBecomeAStopString) {
    TextAssembler text({"</end>"});
    EXPECT_EQ(text.push("a</e"), "a");
    EXPECT_EQ(text.push("x</en"), "</ex");
    EXPECT_EQ(text.push("d>tail"), "");
    EXPECT_TRUE(text.stopped());
    EXPECT_EQ(text.stop_word(), "</end>");
    EXPECT_EQ(text.finish(), "");
}

TEST(TextAssembler, GivesBackAnUnfinishedStopStringAtTheEnd) {
    TextAssembler text({"stop"});
    EXPECT_EQ(text.push("sto"), "");
    EXPECT_EQ(text.finish(), "sto");
    EXPECT_FALSE(text.stopped());
}

TEST(TextAssembler, AssemblesCharactersFromPieces) {
    TextAssembler text({});
    EXPECT_EQ(text.push("\xF0\x9F"), "");
    EXPECT_EQ(text.push("\x98\x80!"), "\xF0\x9F\x98\x80!");
    EXPECT_EQ(text.push("\xE2\x82"), "");
    EXPECT_EQ(text.finish(), kReplacement);
}

TEST(TextAssembler, ReplacesWhatIsNotUtf8) {
    TextAssembler text({});
    EXPECT_EQ(text.push("\xC0\x80|\xED\xA0\x80|\xF4\x90"),
              sanitize("\xC0\x80|\xED\xA0\x80|\xF4\x90"));
    EXPECT_EQ(text.finish(), "");
}

TEST(TextAssembler, EqualsTheNaiveReferenceHoweverTextIsCut) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const std::vector<std::string> parts = {"a",    "b",        "ab",   "aab",          "\xC3\xA4",
                                            "\xC3", "\xE2\x82", "\xAC", "\xF0\x9F\x98", "\x80",
                                            "\xFF", "c"};
    for (int round = 0; round < 2000; ++round) {
        std::string bytes;
        for (uint64_t n = random() % 12; n > 0; --n) bytes += parts[random() % parts.size()];
        std::vector<std::string> stops;
        for (uint64_t n = random() % 4; n > 0; --n) {
            std::string stop;
            for (uint64_t m = random() % 4; m > 0; --m) stop += parts[random() % 5];
            stops.push_back(stop);
        }
        const Reference expected = cut_at_stop(sanitize(bytes), stops);
        TextAssembler assembler(stops);
        std::string got;
        for (size_t at = 0; at < bytes.size() && !assembler.stopped();) {
            const size_t n = 1 + random() % 3;
            const std::string piece = assembler.push(std::string_view(bytes).substr(at, n));
            EXPECT_TRUE(valid_utf8(piece));
            got += piece;
            at += n;
        }
        got += assembler.finish();
        ASSERT_EQ(got, expected.text) << round;
        ASSERT_EQ(assembler.stop_word(), expected.stop_word) << round;
    }
}

}  // namespace
}  // namespace spolia
