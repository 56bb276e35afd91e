#include "broker/quality/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace spolia {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

QualityPrompt prompt_of(const std::string& kind, bool cross) {
    QualityPrompt prompt;
    prompt.kind = kind;
    prompt.cross = cross;
    return prompt;
}

TEST(QualityReport, SaysWhatTheGuardDid) {
    WayFigures way = composed_way(parse_policy("guarded:epic").value());
    for (int i = 0; i < 10; ++i) {
        way.add(prompt_of("fact", false), {.n_reused = i < 6 ? 75 : 0,
                                           .n_computed = i < 6 ? 25 : 100,
                                           .refusal = i < 6   ? ""
                                                      : i < 9 ? "in_doubt"
                                                              : "demoted"});
    }
    const std::vector<WayFigures> ways = {dense_way(), way};
    const TableRows rows = refusal_table(ways);
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_THAT(rows[0], ElementsAre("policy", "composed", "in_doubt", "over_budget",
                                     "uncalibrated", "demoted"));
    EXPECT_THAT(rows[1],
                ElementsAre("guarded:epic", "60.0 %", "30.0 %", "0.0 %", "0.0 %", "10.0 %"));
    const Json json = quality_rows(ways)[1];
    EXPECT_EQ(json["guarded"], true);
    EXPECT_EQ(json["refusals"], (Json{{"demoted", 1}, {"in_doubt", 3}}));
    EXPECT_EQ(json["reused_share"], 0.45);
}

std::vector<WayFigures> two_ways() {
    std::vector<WayFigures> ways = {dense_way()};
    ways[0].add(prompt_of("fact", false), {.right = true,
                                           .same_first = true,
                                           .same_share = 1,
                                           .same_answer = true,
                                           .n_computed = 100,
                                           .prefill_ms = 10,
                                           .dense_ms = 10});
    ways[0].add(prompt_of("hops", true), {.right = true,
                                          .same_first = true,
                                          .same_share = 1,
                                          .same_answer = true,
                                          .n_computed = 100,
                                          .prefill_ms = 30,
                                          .dense_ms = 30});
    WayFigures epic = composed_way(parse_policy("epic:head_rows=4").value());
    epic.add(prompt_of("fact", false), {.right = true,
                                        .kl = 0.25,
                                        .same_first = true,
                                        .same_share = 1,
                                        .same_answer = true,
                                        .n_reused = 70,
                                        .n_recomputed = 10,
                                        .n_computed = 20,
                                        .mend_work_rows = 10,
                                        .prefill_ms = 2,
                                        .dense_ms = 10});
    epic.add(prompt_of("hops", true), {.right = false,
                                       .kl = 0.75,
                                       .same_first = false,
                                       .same_share = 0.5,
                                       .n_reused = 50,
                                       .n_recomputed = 30,
                                       .n_computed = 20,
                                       .mend_work_rows = 30,
                                       .prefill_ms = 8,
                                       .dense_ms = 30});
    ways.push_back(epic);
    return ways;
}

TEST(QualityReport, JsonHasEveryFigure) {
    const Json rows = quality_rows(two_ways());
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0]["policy"], "dense");
    const Json& epic = rows[1];
    EXPECT_EQ(epic["policy"], "epic");
    EXPECT_EQ(epic["params"], (Json{{"head_rows", "4"}}));
    EXPECT_EQ(epic["prompts"], 2);
    EXPECT_EQ(epic["accuracy"], (Json{{"all", 0.5}, {"cross", 0.0}, {"fact", 1.0}, {"hops", 0.0}}));
    EXPECT_EQ(epic["kl"], (Json{{"mean", 0.5}, {"p99", 0.75}, {"max", 0.75}}));
    EXPECT_EQ(epic["top1"], 0.5);
    EXPECT_EQ(epic["agreement"], (Json{{"tokens", 0.75}, {"answers", 0.5}}));
    EXPECT_EQ(epic["tokens"],
              (Json{{"exact", 0.0}, {"reused", 60.0}, {"recomputed", 20.0}, {"computed", 20.0}}));
    EXPECT_EQ(epic["recomputed_share"], 0.25);
    EXPECT_EQ(epic["mend_work_share"], 0.25);
    EXPECT_EQ(epic["prefill_ms"], (Json{{"min", 2.0}, {"median", 2.0}, {"max", 8.0}}));
    EXPECT_EQ(epic["time_vs_dense"], 0.25);
    EXPECT_EQ(epic["tasks"]["hops"]["prompts"], 1);
    EXPECT_EQ(epic["tasks"]["hops"]["kl"]["mean"], 0.75);
}

TEST(QualityReport, KlThatCanNotBeToldIsNull) {
    std::vector<WayFigures> ways = two_ways();
    ways[1].add(prompt_of("fact", false), {.kl = std::numeric_limits<double>::infinity()});
    EXPECT_NE(dump(quality_rows(ways)).find(R"("max":null)"), std::string::npos);
}

TEST(QualityReport, TablesHaveARowAWay) {
    const TableRows table = quality_table(two_ways());
    ASSERT_EQ(table.size(), 3u);
    for (const auto& row : table) EXPECT_EQ(row.size(), table[0].size());
    EXPECT_THAT(table[1], ElementsAre("dense", "100.0 %", "100.0 %", "0", "0", "0", "100.0 %",
                                      "100.0 %", "100.0 %", "-", "-", "-", "100.0 %"));
    EXPECT_THAT(table[2],
                ElementsAre("epic:head_rows=4", "50.0 %", "0.0 %", "0.5000", "0.7500", "0.7500",
                            "50.0 %", "75.0 %", "50.0 %", "20.0", "25.0 %", "25.0 %", "25.0 %"));
    EXPECT_THAT(accuracy_table(two_ways()),
                ElementsAre(ElementsAre("policy", "fact", "hops"),
                            ElementsAre("dense", "100.0 %", "100.0 %"),
                            ElementsAre("epic:head_rows=4", "100.0 %", "0.0 %")));
}

TEST(QualityReport, MarkdownIsATable) {
    EXPECT_EQ(markdown_table({{"policy", "a", "b"}, {"none", "1", "2"}}),
              "| policy | a | b |\n|---|---:|---:|\n| none | 1 | 2 |\n");
    EXPECT_THAT(markdown_table(quality_table(two_ways())), StartsWith("| policy | accuracy |"));
}

}  // namespace
}  // namespace spolia
