#include "adapters/llama/content_spans.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace spolia {
namespace {

using Texts = std::vector<std::string>;
using Template = std::function<std::string(const Texts&)>;

struct Located {
    std::vector<PlacedPart> placed;
    std::string rendered;
    int n_renders = 0;

    // "part:bytes" of each place.
    Texts words() const {
        Texts words;
        for (const PlacedPart& place : placed) {
            words.push_back(std::to_string(place.part) + ":" +
                            rendered.substr(place.begin, place.end - place.begin));
        }
        return words;
    }
};

Located locate(const std::vector<ContentPart>& parts, const Template& apply) {
    Texts texts;
    for (const ContentPart& part : parts) texts.push_back(part.text);
    Located located;
    located.rendered = apply(texts);
    located.placed =
        locate_parts(parts, located.rendered, [&](const Texts& t) -> Result<std::string> {
            ++located.n_renders;
            return apply(t);
        });
    return located;
}

std::string lined(const Texts& texts) {
    std::string out = "<begin>";
    for (const std::string& text : texts) out += "user: " + text + "\n";
    return out + "assistant:";
}

std::string trimmed(const std::string& text) {
    const size_t begin = text.find_first_not_of(" \n\t");
    if (begin == std::string::npos) return "";
    return text.substr(begin, text.find_last_not_of(" \n\t") + 1 - begin);
}

TEST(ContentSpans, FindsPartsThatReadLikeTheTemplate) {
    const Located located = locate(
        {{"user: ", "user"}, {"user: ", "user"}, {"assistant:", "user"}, {"\n", "user"}}, lined);
    EXPECT_EQ(located.words(), (Texts{"0:user: ", "1:user: ", "2:assistant:", "3:\n"}));
    EXPECT_EQ(located.n_renders, 1);
}

TEST(ContentSpans, PassesOverEmptyParts) {
    const Located located = locate({{"", "user"}, {"a", "user"}, {"", "user"}}, lined);
    EXPECT_EQ(located.words(), Texts{"1:a"});
}

TEST(ContentSpans, NothingToFindNeedsNoRendering) {
    EXPECT_EQ(locate({{"", "user"}}, lined).n_renders, 0);
    EXPECT_EQ(locate({}, lined).n_renders, 0);
}

TEST(ContentSpans, FindsTrimmedParts) {
    const Located located =
        locate({{"  a b \n", "user"}, {" \n ", "user"}, {"c", "user"}}, [](Texts texts) {
            for (std::string& text : texts) text = trimmed(text);
            return lined(texts);
        });
    EXPECT_EQ(located.words(), (Texts{"0:a b", "1:", "2:c"}));
}

TEST(ContentSpans, LeavesOutChangedParts) {
    const Located located =
        locate({{"system", "system"}, {"shout", "user"}, {"say", "assistant"}}, [](Texts texts) {
            for (char& c : texts[1]) c = static_cast<char>(std::toupper(c));
            return lined(texts);
        });
    EXPECT_EQ(located.words(), (Texts{"0:system", "2:say"}));
}

Texts replaced(Texts texts, const std::string& what, const std::string& by) {
    for (std::string& text : texts) {
        for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += by.size()) {
            text.replace(at, what.size(), by);
        }
    }
    return texts;
}

// The words pass unharmed, the text doesn't.
TEST(ContentSpans, LeavesOutPartsWithMarkup) {
    const Located located =
        locate({{"plain", "user"}, {"a <b>", "tool"}, {"last", "user"}},
               [](const Texts& texts) { return lined(replaced(texts, "<", "&lt;")); });
    EXPECT_EQ(located.words(), (Texts{"0:plain", "2:last"}));
}

TEST(ContentSpans, FindsPartsInJsonStrings) {
    const Located located =
        locate({{"plain", "user"}, {"\"a\"\n\x01 é", "tool"}, {"last", "user"}}, [](Texts texts) {
            texts = replaced(std::move(texts), "\"", "\\\"");
            texts = replaced(std::move(texts), "\n", "\\n");
            return lined(replaced(std::move(texts), "\x01", "\\u0001"));
        });
    EXPECT_EQ(located.words(), (Texts{"0:plain", "1:\\\"a\\\"\\n\\u0001 é", "2:last"}));
}

TEST(ContentSpans, LeavesOutDroppedParts) {
    const Located located = locate({{"kept", "user"}, {"dropped", "tool"}}, [](Texts texts) {
        texts.pop_back();
        return lined(texts);
    });
    EXPECT_EQ(located.words(), Texts{"0:kept"});
}

TEST(ContentSpans, FindsRepeatedAndMovedParts) {
    const Located located = locate({{"first", "user"}, {"second", "user"}}, [](const Texts& texts) {
        return texts[1] + ", " + texts[0] + ", " + texts[1];
    });
    EXPECT_EQ(located.words(), (Texts{"1:second", "0:first", "1:second"}));
}

// The template decides about the text in front of a part by looking at the part.
TEST(ContentSpans, BlamesThePartThatChangesTheTemplate) {
    const Located located =
        locate({{"a", "user"}, {"<think>b", "assistant"}, {"c", "user"}}, [](const Texts& texts) {
            std::string out;
            for (const std::string& text : texts) {
                out += text.starts_with("<think>") ? "thoughtful: " : "plain: ";
                out += text + ";";
            }
            return out;
        });
    EXPECT_EQ(located.words(), (Texts{"0:a", "2:c"}));
}

TEST(ContentSpans, GivesUpARoleThatFailsTwice) {
    std::vector<ContentPart> parts = {{"query", "user"}};
    for (int i = 0; i < 50; ++i) parts.push_back({"\"" + std::to_string(i) + "\"", "tool"});
    const Located located = locate(parts, [](const Texts& texts) {
        std::string out = texts[0];
        for (size_t i = 1; i < texts.size(); ++i) {
            std::string text = texts[i];
            std::replace(text.begin(), text.end(), '"', '\'');
            out += "\n" + text;
        }
        return out;
    });
    EXPECT_EQ(located.words(), Texts{"0:query"});
    EXPECT_LE(located.n_renders, 3);
}

TEST(ContentSpans, FailedOrRandomRenderingGivesNothing) {
    const std::vector<ContentPart> parts = {{"a", "user"}, {"b", "tool"}};
    EXPECT_TRUE(locate_parts(parts, "ab", [](const Texts&) -> Result<std::string> {
                    return Error{ErrorCode::kInvalidArgument, "no"};
                }).empty());
    int n_renders = 0;
    EXPECT_TRUE(locate_parts(parts, "0ab", [&](const Texts& texts) -> Result<std::string> {
                    return std::to_string(++n_renders) + texts[0] + texts[1];
                }).empty());
    EXPECT_LE(n_renders, 8);
}

TEST(ContentSpans, SurvivesWordsCutShort) {
    const Located located =
        locate({{"abcdefghijklmnopqrstuvwxyz", "user"}, {"b", "tool"}},
               [](const Texts& texts) { return texts[0].substr(0, 22) + "-" + texts[1]; });
    EXPECT_EQ(located.words(), Texts{"1:b"});
}

}  // namespace
}  // namespace spolia
