#include "index/hashed_embedder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "index/inner_product.h"

namespace spolia {
namespace {

constexpr std::string_view kAqueduct =
    "The aqueduct of Segovia carried water from the river Frio to the city for almost two thousand "
    "years. Its 167 arches are built of granite blocks that are held together by their weight "
    "alone, without any mortar. The highest part stands 28.5 metres above the ground. Engineers "
    "measured the slope of the channel with remarkable accuracy: it falls by one per cent over the "
    "last kilometre. Repairs in the fifteenth century rebuilt 36 arches that had been destroyed.";
constexpr std::string_view kBilling =
    "Invoices are due within thirty days after the date on which they were issued. Customers who "
    "pay late are charged interest at the statutory rate. To dispute a charge, open a ticket in "
    "the "
    "billing portal and attach a copy of the purchase order. Refunds appear on your next "
    "statement. "
    "Accounts with an unpaid balance are suspended; we keep their data for ninety days.";

std::vector<float> embed(std::string_view text) {
    static const std::unique_ptr<TextEmbedder> embedder = make_hashed_embedder();
    return embedder->embed({&text, 1}).value();
}

float likeness(std::string_view a, std::string_view b) {
    const std::vector<float> x = embed(a), y = embed(b);
    return inner_product(x.data(), y.data(), x.size());
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
    std::string result(text);
    const size_t at = result.find(from);
    EXPECT_NE(at, result.npos) << from;
    if (at != result.npos) result.replace(at, from.size(), to);
    return result;
}

TEST(HashedEmbedder, MakesUnitVectorsThatDependOnTheTextAlone) {
    const std::unique_ptr<TextEmbedder> one = make_hashed_embedder(),
                                        other = make_hashed_embedder();
    ASSERT_EQ(one->n_dims(), 384);
    EXPECT_EQ(one->fingerprint(), other->fingerprint());
    const std::vector<std::string_view> texts = {kAqueduct, kBilling, "one", "", kAqueduct};
    const std::vector<float> vectors = one->embed(texts).value();
    ASSERT_EQ(vectors.size(), texts.size() * 384);
    for (size_t i = 0; i < texts.size(); ++i) {
        const std::vector<float> vector(vectors.begin() + static_cast<ptrdiff_t>(i * 384),
                                        vectors.begin() + static_cast<ptrdiff_t>((i + 1) * 384));
        EXPECT_EQ(other->embed({&texts[i], 1}).value(), vector) << i;
        const float length = inner_product(vector.data(), vector.data(), 384);
        EXPECT_NEAR(length, texts[i].empty() ? 0 : 1, 1e-5) << i;
    }
}

TEST(HashedEmbedder, HasNothingToGoByWithoutWords) {
    for (const char* text : {"", " \n\t", "... --- !!!", "\xe2\x80\x94"}) {
        for (const float x : embed(text)) ASSERT_EQ(x, 0) << text;
    }
}

TEST(HashedEmbedder, FindsNearlyTheSameTextAlike) {
    EXPECT_GT(likeness(kAqueduct, replaced(kAqueduct, "28.5", "31.2")), 0.95f);
    EXPECT_GT(likeness(kAqueduct, replaced(kAqueduct, "granite", "sandstone")), 0.9f);
    EXPECT_GT(likeness(kAqueduct, replaced(kAqueduct, "Repairs in", "Later repairs during")), 0.9f);
    const size_t middle = kAqueduct.find("The highest");
    const std::string swapped =
        std::string(kAqueduct.substr(middle)) + " " + std::string(kAqueduct.substr(0, middle));
    EXPECT_GT(likeness(kAqueduct, swapped), 0.9f);
}

TEST(HashedEmbedder, SeesANegationAsASmallChange) {
    const float same =
        likeness(kBilling, replaced(kBilling, "Customers who pay", "Customers who do not pay"));
    EXPECT_GT(same, 0.95f);
    EXPECT_LT(same, 0.9999f);
}

TEST(HashedEmbedder, FindsOtherTextsUnlike) {
    EXPECT_LT(likeness(kAqueduct, kBilling), 0.3f);
    EXPECT_LT(likeness("the a of and to in", kBilling), 0.3f);
    EXPECT_LT(likeness("水道橋はローマ時代に造られた", "請求書は三十日以内に支払う"), 0.3f);
}

TEST(HashedEmbedder, FindsAQuestionsText) {
    for (const char* question : {"How high is the aqueduct in Segovia?", "granite arches mortar"}) {
        EXPECT_GT(likeness(question, kAqueduct), likeness(question, kBilling) + 0.1f) << question;
    }
    EXPECT_GT(likeness("When are invoices due?", kBilling),
              likeness("When are invoices due?", kAqueduct) + 0.1f);
}

TEST(HashedEmbedder, FindsFormsOfAWordAlike) {
    EXPECT_GT(likeness("repairing aqueducts", "repair of an aqueduct"), 0.2f);
    EXPECT_GT(likeness("Rechnungen bezahlen", "Rechnung bezahlt"), 0.2f);
}

TEST(HashedEmbedder, TakesCompositionsAndCasesForTheSame) {
    EXPECT_EQ(embed("Caf\xc3\xa9 GR\xc3\x9cN"), embed("cafe\xcc\x81 gru\xcc\x88n"));
    EXPECT_EQ(embed("\xed\x95\x9c\xea\xb5\xad"),
              embed("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab\xe1\x84\x80\xe1\x85\xae\xe1\x86\xa8"));
}

TEST(HashedEmbedder, SpeaksManyLanguages) {
    struct Case {
        const char* text;
        const char* alike;
        const char* unlike;
    };
    for (const Case& c : {
             Case{"Акведук построен из гранитных блоков без раствора",
                  "Акведук был построен из гранитных плит без раствора",
                  "Счета оплачиваются в течение тридцати дней"},
             Case{"水道橋は花崗岩の石で造られています", "水道橋は花崗岩の岩で造られていた",
                  "請求書は三十日以内にお支払いください"},
             Case{"고가수로는 화강암 블록으로 지어졌다", "고가수로는 화강암 벽돌로 지어졌다",
                  "청구서는 삼십일 안에 지불해야 합니다"},
             Case{"بنيت القناة من كتل الجرانيت", "بنيت القناة من حجارة الجرانيت",
                  "تدفع الفواتير خلال ثلاثين يوما"},
         }) {
        EXPECT_GT(likeness(c.text, c.alike), 0.5f) << c.text;
        EXPECT_LT(likeness(c.text, c.unlike), 0.3f) << c.text;
    }
}

TEST(HashedEmbedder, TakesAnyBytes) {
    for (int seed = 0; seed < 200; ++seed) {
        std::mt19937 random(static_cast<uint32_t>(seed));
        std::string text;
        while (text.size() < random() % 500) text += static_cast<char>(random() % 256);
        const std::vector<float> vector = embed(text);
        EXPECT_TRUE(std::ranges::all_of(vector, [](float x) { return std::isfinite(x); }))
            << "seed " << seed;
    }
}

TEST(HashedEmbedder, TakesTextsOfManySections) {
    std::string text;
    for (int i = 0; text.size() < 700'000; ++i) {
        text += i % 3 == 0 ? std::string(kAqueduct) + "\n" : std::string(kBilling) + "\n";
    }
    EXPECT_GT(likeness(text, kBilling), 0.6f);
    EXPECT_EQ(embed(std::string(1'000'000, 'x')), embed(std::string(1'000'000, 'X')));
}

}  // namespace
}  // namespace spolia
