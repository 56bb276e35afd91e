#include "reuse/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "reuse/selector.h"
#include "tests/unit/index/toy_tokenizer.h"

namespace spolia {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Part {
    SegmentRole role = SegmentRole::kChunk;
    std::string text;
};

std::vector<Part> chunks_and_question(const std::vector<std::string>& chunks,
                                      const std::string& question) {
    std::vector<Part> parts;
    for (const std::string& chunk : chunks) parts.push_back({SegmentRole::kChunk, chunk + "\n\n"});
    parts.push_back({SegmentRole::kQuery, question});
    return parts;
}

// Parts one behind the other; all chunks are placed from blocks.
struct Prompt {
    Prompt(const std::vector<std::string>& chunks, const std::string& question)
        : Prompt(chunks_and_question(chunks, question)) {}

    explicit Prompt(const std::vector<Part>& parts) {
        std::string text;
        for (const Part& part : parts) text += part.text;
        tokenized = spolia::testing::tokenize(text);
        const auto n_rows = static_cast<int32_t>(tokenized.tokens.size());
        size_t end = 0;
        for (int32_t row = 0; const Part& part : parts) {
            const int32_t begin = row;
            end += part.text.size();
            while (row < n_rows && tokenized.byte_begin[static_cast<size_t>(row)] < end) ++row;
            segments.push_back({part.role, {begin, row}, {}});
            if (part.role == SegmentRole::kChunk) spans.push_back({.rows = {begin, row}});
        }
        outline = outline_prompt(tokenized, segments);
    }

    std::string text_of(TokenSpan rows) const {
        const uint32_t begin = tokenized.byte_begin[static_cast<size_t>(rows.begin)];
        const uint32_t end = tokenized.byte_begin[static_cast<size_t>(rows.end)];
        std::string text = tokenized.text.substr(begin, end - begin);
        while (text.ends_with('\n')) text.pop_back();
        return text;
    }

    // Sentences of at least some weight; by itself, those that lean on other chunks.
    std::vector<std::string> traced(float weight_min = 0.5f) const {
        std::vector<std::string> texts;
        for (const TracedRun& run : trace_question(outline, spans)) {
            if (run.weight >= weight_min) texts.push_back(text_of(run.rows));
        }
        return texts;
    }

    Selection selection() const { return {spans, &outline}; }

    TokenizedText tokenized;
    std::vector<Segment> segments;
    std::vector<PassiveSpan> spans;
    PromptOutline outline;
};

const std::string kDara = "Dara carries honey. Ove carries figs.";
const std::string kTess = "Tess matches Dara. Oda carries wine.";
const std::string kKaia = "Kaia carries rope. Faro carries tin.";

TEST(Trace, FindsWhatSpeaksOfAnEarlierChunk) {
    EXPECT_THAT(Prompt({kDara, kTess, kKaia}, "What does Tess carry?").traced(),
                ElementsAre("Tess matches Dara."));
}

TEST(Trace, GivesLittleWeightToWhatStandsAlone) {
    const Prompt prompt({kDara, kTess, kKaia}, "What does Kaia carry?");
    EXPECT_THAT(prompt.traced(), IsEmpty());
    EXPECT_THAT(prompt.traced(0.3f), ElementsAre("Kaia carries rope."));
}

TEST(Trace, KnowsThatRowsDoNotDependOnLaterText) {
    EXPECT_THAT(Prompt({kTess, kKaia, kDara}, "What does Tess carry?").traced(0.45f),
                ElementsAre("Dara carries honey."));
}

TEST(Trace, GivesLaterTextFullWeightWhereTheQuestionIsAboutAll) {
    const std::vector<std::string> chunks = {kDara, "Tess matches Dara. Oda carries wine.",
                                             "Kaia matches Tess. Faro carries tin."};
    EXPECT_THAT(Prompt(chunks, "Who carries honey?").traced(0.6f), IsEmpty());
    EXPECT_THAT(Prompt(chunks, "How many carry honey?").traced(0.6f),
                ElementsAre("Tess matches Dara.", "Kaia matches Tess."));
}

const std::vector<std::string> kTwoLinks = {
    "Rosa carries sugar. Vito carries salt.",
    "Sami matches Rosa. Ida carries pepper. Alba carries gold.",
    "Senta matches Sami. Lorna carries oil. Rolf carries cider."};

TEST(Trace, FollowsSeveralHops) {
    EXPECT_THAT(Prompt(kTwoLinks, "What does Senta carry?").traced(),
                ElementsAre("Sami matches Rosa.", "Senta matches Sami."));
}

TEST(Trace, FindsWhatLeansOnAnotherSentenceOfItsChunk) {
    EXPECT_THAT(
        Prompt({kDara, kTess + " Bodo matches Tess.", kKaia}, "What does Bodo carry?").traced(),
        ElementsAre("Tess matches Dara.", " Bodo matches Tess."));
}

TEST(Trace, FollowsBackReferencesOverAChunksBorder) {
    EXPECT_THAT(Prompt({"Ivar carries cider. Greta is next.",
                        "Note poplar. It carries ink. Luna carries fish.", kKaia},
                       "What does Greta carry?")
                    .traced(),
                ElementsAre(" It carries ink."));
}

TEST(Trace, AsksNothingOfWhatABlockWasMadeBehind) {
    Prompt prompt(kTwoLinks, "What does Senta carry?");
    const KnownContext first{.parts = {0}, .adjoining = {1}, .lost = {}};
    prompt.spans[1].known = &first;
    EXPECT_THAT(prompt.traced(), ElementsAre("Senta matches Sami."));
    const KnownContext both{.parts = {0, 1}, .adjoining = {1, 2}, .lost = {}};
    prompt.spans[2].known = &both;
    EXPECT_THAT(prompt.traced(), IsEmpty()) << "on the path, but leaning on nothing new";
    EXPECT_EQ(prompt.traced(0.3f).size(), 3u);
}

TEST(Trace, WhatItLeansOnMustHaveKnownTheSame) {
    Prompt prompt(kTwoLinks, "What does Senta carry?");
    // The last block was made behind the second chunk, but not behind the first.
    const KnownContext second{.parts = {1}, .adjoining = {2}, .lost = {}};
    prompt.spans[2].known = &second;
    EXPECT_THAT(prompt.traced(), ElementsAre("Sami matches Rosa.", "Senta matches Sami."));
}

TEST(Trace, WordsOfLostTextMakeASentenceLean) {
    Prompt prompt({kDara, kTess, kKaia}, "What does Kaia carry?");
    const Prompt elsewhere({"Kaia is next. Lea carries clay."}, "?");
    KnownContext known{.parts = {0, 1}, .adjoining = {2}, .lost = {}};
    prompt.spans[2].known = &known;
    EXPECT_THAT(prompt.traced(), IsEmpty());
    known.lost = elsewhere.outline.words;
    std::ranges::sort(known.lost);
    EXPECT_THAT(prompt.traced(), ElementsAre("Kaia carries rope."));
}

TEST(Trace, WhatLeansOnAnEditIsMended) {
    const std::string chunk = "Kaia carries rope. Bodo carries hemp. Senta matches Kaia.";
    Prompt prompt({kDara, chunk, "Luna carries fish. Faro carries tin."}, "What does Senta carry?");
    EXPECT_THAT(prompt.traced(), IsEmpty());
    // The block was made of "Kaia carries clay ...": that word is computed.
    const auto edit =
        std::ranges::find_if(prompt.outline.sentences,
                             [](const Sentence& sentence) { return sentence.part == 1; })
            ->rows.end -
        2;
    const KnownContext before{.parts = {1}, .adjoining = {}, .lost = {}, .edited = {}};
    KnownContext behind = before;
    behind.edited = {{edit, edit + 1}};
    const TokenSpan rows = prompt.spans[1].rows;
    prompt.spans[1] = {{rows.begin, edit}, false, &before};
    prompt.spans.insert(prompt.spans.begin() + 2, {{edit + 1, rows.end}, false, &behind});
    const std::vector<std::string> mended = prompt.traced();
    EXPECT_THAT(mended, Contains(" Senta matches Kaia."));
    EXPECT_THAT(mended, Contains("."));
    EXPECT_THAT(mended, Not(Contains(HasSubstr("Bodo"))));
}

TEST(Trace, BackReferencesAreKnownWhereTheChunksAdjoined) {
    Prompt prompt({"Ivar carries cider. Greta is next.",
                   "Note poplar. It carries ink. Luna carries fish.", kKaia},
                  "What does Greta carry?");
    KnownContext known{.parts = {0}, .adjoining = {1}, .lost = {}};
    prompt.spans[1].known = &known;
    EXPECT_THAT(prompt.traced(), IsEmpty());
    known.adjoining.clear();
    EXPECT_THAT(prompt.traced(), ElementsAre(" It carries ink."));
}

TEST(Trace, FollowsNoWordsOfComputedText) {
    const Part system{SegmentRole::kFixed, "Know what Kaia and Faro carry. "};
    const Part glue{SegmentRole::kGlue, "Of Faro and Oda.\n\n"};
    std::vector<Part> parts = chunks_and_question({kDara, kKaia}, "What does Kaia carry?");
    const std::vector<std::string> alone = Prompt(parts).traced(0.3f);
    ASSERT_THAT(alone, ElementsAre("Kaia carries rope."));
    parts.insert(parts.begin() + 1, glue);
    parts.insert(parts.begin(), system);
    const Prompt prompt(parts);
    EXPECT_EQ(prompt.traced(0.3f), alone);
    EXPECT_THAT(prompt.traced(), IsEmpty()) << "Kaia's sentence does not lean on the system text";
}

TEST(Trace, FollowsBackReferencesPastGlue) {
    std::vector<Part> parts = chunks_and_question(
        {"Ivar carries cider. Greta is next.", "It carries ink. Luna carries fish.", kKaia},
        "What does Greta carry?");
    parts.insert(parts.begin() + 1, {SegmentRole::kGlue, "Second note.\n\n"});
    EXPECT_THAT(Prompt(parts).traced(), ElementsAre("It carries ink."));
}

TEST(Trace, KnowsThatABlockWasMadeWithoutTheGlueInFrontOfIt) {
    std::vector<Part> parts =
        chunks_and_question({"It carries ink. Luna carries fish.", kKaia}, "Who carries ink?");
    EXPECT_THAT(Prompt(parts).traced(), IsEmpty()) << "nothing in front";
    parts.insert(parts.begin(), {SegmentRole::kGlue, "Of Greta.\n\n"});
    EXPECT_THAT(Prompt(parts).traced(), ElementsAre("It carries ink."));
}

TEST(Trace, CountsChunksThatAreNotReused) {
    Prompt prompt({kDara, kTess, kKaia}, "What does Tess carry?");
    prompt.spans.erase(prompt.spans.begin());
    EXPECT_THAT(prompt.traced(), ElementsAre("Tess matches Dara."));
}

TEST(Trace, TellsRareWordsFromCommonOnesInShortTexts) {
    const auto weights_of = [](const std::vector<std::string>& chunks) {
        std::vector<float> weights;
        const Prompt prompt(chunks, "Where is Dara?");
        for (const TracedRun& run : trace_question(prompt.outline, prompt.spans)) {
            weights.push_back(run.weight);
        }
        return weights;
    };
    EXPECT_THAT(weights_of({"Dara sings.", "Dara sleeps."}), ElementsAre(0.4f, 1));
    EXPECT_THAT(weights_of({"Dara sings.", "Tess eats. Dara sleeps."}), ElementsAre(0.4f, 1));
    EXPECT_THAT(weights_of({"Dara sings.", "Dara eats. Dara sleeps."}),
                ElementsAre(0.4f, 0.4f, 0.4f))
        << "what all say names nothing";
}

TEST(Trace, KnowsOffThePathWhatLeansOnOtherChunks) {
    const Prompt prompt({kDara, kTess, kKaia}, "What does Kaia carry?");
    std::vector<std::string> off;
    for (const TracedRun& run : trace_question(prompt.outline, prompt.spans)) {
        if (run.weight <= kWeightOffPath) off.push_back(prompt.text_of(run.rows));
    }
    EXPECT_THAT(off, ElementsAre("Tess matches Dara."));
    EXPECT_THAT(Prompt({kDara, kKaia}, "What does Kaia carry?").traced(0),
                ElementsAre("Kaia carries rope."));
}

TEST(Trace, TakesAQuestionThatNamesNothingForOneAboutEverything) {
    EXPECT_THAT(Prompt({kDara, kTess, kKaia}, "Summarize all that.").traced(),
                ElementsAre("Tess matches Dara."));
}

TEST(Trace, LeavesSettledBlocksAndComputedText) {
    Prompt prompt({kDara, kTess, kKaia}, "What does Tess carry?");
    prompt.spans[1].settled = true;
    EXPECT_THAT(prompt.traced(), IsEmpty());
    prompt.spans.erase(prompt.spans.begin() + 1);
    EXPECT_THAT(prompt.traced(), IsEmpty());
}

TEST(Trace, GivesDisjointRunsUnderUnsettledBlocks) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const std::vector<std::string> words = {"Dara", "Tess", "It",  "they", "matches", "3.5",
                                            "x_y",  "箱子", "the", "\n",   ".",       "!"};
    const auto text = [&] {
        std::string drawn;
        for (size_t n = 1 + random() % 30; n > 0; --n) {
            drawn += words[random() % words.size()] + " ";
        }
        return drawn;
    };
    for (int round = 0; round < 300; ++round) {
        std::vector<std::string> chunks;
        for (size_t n = 1 + random() % 6; n > 0; --n) chunks.push_back(text());
        Prompt prompt(chunks, text());
        for (PassiveSpan& span : prompt.spans) span.settled = random() % 4 == 0;
        int32_t behind = 0;
        for (const TracedRun& run : trace_question(prompt.outline, prompt.spans)) {
            ASSERT_GE(run.rows.begin, behind);
            ASSERT_GT(run.rows.end, run.rows.begin);
            ASSERT_GT(run.weight, 0);
            ASSERT_LE(run.weight, 1);
            behind = run.rows.end;
            const auto under = std::ranges::find_if(prompt.spans, [&](const PassiveSpan& span) {
                return span.rows.begin <= run.rows.begin && run.rows.end <= span.rows.end;
            });
            ASSERT_NE(under, prompt.spans.end());
            ASSERT_FALSE(under->settled);
        }
    }
}

std::unique_ptr<Selector> make(const SelectorParams& params) {
    auto selector = make_selector(params, 8);
    EXPECT_TRUE(selector.ok());
    return std::move(selector).value();
}

// Two paths into other chunks; the nearer one weighs more.
const Prompt& two_links() {
    static const Prompt prompt(kTwoLinks, "What does Senta carry?");
    return prompt;
}

TEST(TraceSelector, TakesWhatWeighsMostUpToItsShare) {
    const Selection selection = two_links().selection();
    std::vector<TracedRun> runs = trace_question(two_links().outline, two_links().spans);
    std::ranges::stable_sort(runs, std::ranges::greater{}, &TracedRun::weight);
    ASSERT_GT(runs.size(), 1u);
    double left = 0;
    for (const TracedRun& run : std::span(runs).subspan(1)) left += double(run.weight);
    int32_t n_passive = 0;
    for (const PassiveSpan& span : two_links().spans) n_passive += span.rows.size();
    const double share = static_cast<double>(runs[0].rows.size()) / n_passive;
    const RowChoice first = make({.policy = "trace", .trace_ratio = share})->pick(selection);
    EXPECT_EQ(first.rows.front(), runs[0].rows.begin);
    EXPECT_EQ(first.rows.size(), static_cast<size_t>(runs[0].rows.size()));
    EXPECT_DOUBLE_EQ(first.risk, left);
    EXPECT_EQ(make({.policy = "trace", .trace_ratio = 1})->pick(selection).risk, 0);
}

TEST(TraceSelector, SkipsWhatDoesNotFit) {
    // The nearer sentence is the longer one.
    const Prompt prompt({"Rosa carries sugar. Vito carries salt. Alba carries gold.",
                         "Sami matches Rosa. Ida carries pepper. Kora carries dates.",
                         "Senta by night at dawn in spring matches Sami. Lorna carries oil."},
                        "What does Senta carry?");
    std::vector<TracedRun> runs = trace_question(prompt.outline, prompt.spans);
    const auto nearest = std::ranges::max_element(runs, {}, &TracedRun::weight);
    int32_t n_passive = 0;
    for (const PassiveSpan& span : prompt.spans) n_passive += span.rows.size();
    const double share = (nearest->rows.size() - 0.5) / n_passive - 0.5 / n_passive;
    const RowChoice choice =
        make({.policy = "trace", .trace_ratio = share})->pick(prompt.selection());
    EXPECT_THAT(choice.rows, ::testing::Not(IsEmpty()));
    EXPECT_THAT(choice.rows, ::testing::Not(::testing::Contains(nearest->rows.begin)));
    EXPECT_GE(choice.risk, static_cast<double>(nearest->weight));
}

TEST(TraceSelector, LeavesWhatIsOffThePath) {
    const Prompt prompt({kDara, kTess, kKaia}, "What does Kaia carry?");
    const auto kaia = std::ranges::find_if(prompt.outline.sentences, [&](const Sentence& each) {
        return prompt.text_of(each.rows) == "Kaia carries rope.";
    });
    const RowChoice choice = make({.policy = "trace", .trace_ratio = 1})->pick(prompt.selection());
    EXPECT_EQ(choice.rows.size(), static_cast<size_t>(kaia->rows.size()));
    EXPECT_GT(choice.risk, 0);
    EXPECT_LE(choice.risk, kWeightOffPath);
}

TEST(TraceSelector, CannotTellWithoutText) {
    const PassiveSpan span{.rows = {0, 4}};
    EXPECT_THAT(make({.policy = "trace"})->pick({{&span, 1}}).rows, IsEmpty());
    EXPECT_EQ(make({.policy = "trace"})->pick({{&span, 1}}).risk, 1);
}

TEST(AdaptiveSelector, LeavesOutWhatWeighsLittle) {
    const Selection selection = two_links().selection();
    const auto risk = [&](double weight_min) {
        return make({.policy = "adaptive", .weight_min = weight_min})->pick(selection).risk;
    };
    EXPECT_EQ(risk(0), 0);
    EXPECT_GT(risk(0.95), 0);
    EXPECT_LE(risk(0.95), risk(1));
}

TEST(AdaptiveSelector, ComputesEverythingWithoutText) {
    const std::vector<PassiveSpan> spans = {{.rows = {1, 3}, .settled = true}, {.rows = {4, 6}}};
    const RowChoice choice = make({.policy = "adaptive"})->pick({spans});
    EXPECT_THAT(choice.rows, ElementsAre(4, 5));
    EXPECT_EQ(choice.risk, 0);
}

TEST(AdaptiveSelector, GoesOnWithRowsThatChanged) {
    const auto selector = make({.policy = "adaptive", .check_layer = 2, .deviation_min = 0.5});
    ASSERT_EQ(selector->stages().size(), 1u);
    EXPECT_EQ(selector->stages()[0].layer, 2);
    const std::vector<int32_t> rows = {3, 5, 6, 9};
    const std::vector<float> deviation = {0.4f, 0.5f, std::numeric_limits<float>::quiet_NaN(), 0};
    EXPECT_THAT(selector->choose(0, {rows, deviation, {}, 40}), ElementsAre(5, 6));
    EXPECT_THAT(make({.policy = "adaptive", .check_layer = 0})->stages(), IsEmpty());
}

TEST(AdaptiveSelector, AsksMoreOfRowsThatWeighLess) {
    const auto selector = make({.policy = "adaptive", .check_layer = 2, .deviation_min = 0.5});
    const std::vector<int32_t> rows = {3, 5, 6, 9};
    const std::vector<float> deviation = {0.6f, 0.6f, 1.1f, 1.3f};
    const std::vector<float> weights = {1, 0.5f, 0.5f, 0.3f};
    const StageView view{rows, deviation, {}, 40, weights};
    EXPECT_THAT(selector->choose(0, view), ElementsAre(3, 6));
}

TEST(AdaptiveSelector, GivesItsRowsTheWeightOfTheirSentence) {
    const RowChoice choice = make({.policy = "adaptive"})->pick(two_links().selection());
    ASSERT_EQ(choice.weights.size(), choice.rows.size());
    EXPECT_TRUE(std::ranges::is_sorted(choice.rows));
    for (const TracedRun& run : trace_question(two_links().outline, two_links().spans)) {
        for (size_t i = 0; i < choice.rows.size(); ++i) {
            const bool in = choice.rows[i] >= run.rows.begin && choice.rows[i] < run.rows.end;
            if (in) {
                EXPECT_EQ(choice.weights[i], run.weight);
            }
        }
    }
}

TEST(AdaptiveSelector, RefusesWhatItCannotDo) {
    for (const SelectorParams& params :
         {SelectorParams{.policy = "adaptive", .weight_min = -0.1},
          SelectorParams{.policy = "adaptive", .check_layer = 8},
          SelectorParams{.policy = "adaptive", .deviation_min = std::nan("")},
          SelectorParams{.policy = "trace", .trace_ratio = 0}}) {
        const auto selector = make_selector(params, 8);
        ASSERT_FALSE(selector.ok());
        EXPECT_EQ(selector.error().code, ErrorCode::kInvalidArgument);
    }
}

}  // namespace
}  // namespace spolia
