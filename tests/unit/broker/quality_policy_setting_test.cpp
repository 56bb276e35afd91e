#include "broker/quality/policy_setting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace spolia {
namespace {

using ::testing::HasSubstr;

PolicySetting setting_of(std::string_view text) {
    const Result<PolicySetting> setting = parse_policy(text);
    EXPECT_TRUE(setting.ok()) << (setting.ok() ? "" : setting.error().message);
    return setting.ok() ? *setting : PolicySetting();
}

std::string error_of(std::string_view text) {
    const Result<PolicySetting> setting = parse_policy(text);
    EXPECT_FALSE(setting.ok()) << text;
    return setting.ok() ? "" : setting.error().message;
}

TEST(PolicySetting, ReadsNamesAlone) {
    for (const std::string_view name : selector_names()) {
        const PolicySetting setting = setting_of(name);
        EXPECT_EQ(setting.params.policy, name);
        EXPECT_EQ(setting.label, name);
        EXPECT_EQ(setting.series, name);
        EXPECT_TRUE(setting.values.empty());
    }
}

TEST(PolicySetting, ReadsParametersInAnyOrder) {
    const PolicySetting epic = setting_of("epic:head_rows=4");
    EXPECT_EQ(epic.params.head_rows, 4);
    EXPECT_EQ(epic.label, "epic:head_rows=4");
    EXPECT_EQ(epic.series, "epic");

    const PolicySetting blend = setting_of("cacheblend:ratio=0.25,deviation=values,layer=2");
    ASSERT_EQ(blend.params.stages.size(), 1u);
    EXPECT_EQ(blend.params.stages[0].layer, 2);
    EXPECT_DOUBLE_EQ(blend.params.stages[0].ratio, 0.25);
    EXPECT_EQ(blend.params.deviation, Deviation::kValues);
    EXPECT_EQ(blend.label, "cacheblend:layer=2,ratio=0.25,deviation=values");
    EXPECT_EQ(blend.series, "cacheblend:layer=2,deviation=values");
}

TEST(PolicySetting, ReadsSeveralStages) {
    const PolicySetting blend = setting_of("cacheblend:layer=1/3,ratio=0.3/0.15");
    ASSERT_EQ(blend.params.stages.size(), 2u);
    EXPECT_EQ(blend.params.stages[1].layer, 3);
    EXPECT_DOUBLE_EQ(blend.params.stages[0].ratio, 0.3);
    EXPECT_DOUBLE_EQ(blend.params.stages[1].ratio, 0.15);
}

TEST(PolicySetting, ReadsWhatAQuerysRowsAreRankedBy) {
    const PolicySetting both = setting_of("query:ratio=0.3,layer=3");
    EXPECT_EQ(both.params.rank, QueryRank::kAttentionDeviation);
    EXPECT_EQ(both.series, "query:layer=3");
    const PolicySetting attention = setting_of("query:ratio=0.3,rank=attention");
    EXPECT_EQ(attention.params.rank, QueryRank::kAttention);
    EXPECT_DOUBLE_EQ(attention.params.stages[0].ratio, 0.3);
    EXPECT_EQ(attention.label, "query:rank=attention,ratio=0.3");
}

TEST(PolicySetting, TheCheckLayerIsForThoseThatNameNone) {
    std::vector<PolicySetting> settings;
    for (const char* text : {"cacheblend:ratio=0.2", "cacheblend:layer=1,ratio=0.2", "query",
                             "adaptive", "adaptive:layer=4"}) {
        settings.push_back(setting_of(text));
    }
    use_check_layer(3, settings);
    EXPECT_EQ(settings[0].params.stages[0].layer, 3);
    EXPECT_EQ(settings[1].params.stages[0].layer, 1);
    EXPECT_EQ(settings[2].params.stages[0].layer, 3);
    EXPECT_EQ(settings[3].params.check_layer, 3);
    EXPECT_EQ(settings[4].params.check_layer, 4);
    EXPECT_EQ(settings[0].label, "cacheblend:ratio=0.2");
    use_check_layer(1, settings);
    EXPECT_EQ(settings[3].params.check_layer, 0) << "layer 1 says too little";
}

TEST(PolicySetting, ReadsWhatAGuardIsToServe) {
    const PolicySetting setting = setting_of("guarded:cacheblend:layer=2,ratio=0.3");
    EXPECT_TRUE(setting.guarded);
    EXPECT_EQ(setting.params.policy, "cacheblend");
    EXPECT_EQ(setting.params.stages.front().ratio, 0.3);
    EXPECT_EQ(setting.label, "guarded:cacheblend:layer=2,ratio=0.3");
    EXPECT_EQ(setting.series, "guarded:cacheblend:layer=2");
    EXPECT_FALSE(setting_of("cacheblend").guarded);
    EXPECT_THAT(error_of("guarded:magic"), HasSubstr("unknown name"));
    EXPECT_THAT(error_of("guarded:guarded:none"), HasSubstr("guarded twice"));
}

TEST(PolicySetting, ErrorsSayWhatIsWrong) {
    EXPECT_THAT(error_of("magic"), HasSubstr("unknown name"));
    EXPECT_THAT(error_of(""), HasSubstr("known: none"));
    EXPECT_THAT(error_of("none:"), HasSubstr("not key=value"));
    EXPECT_THAT(error_of("none:ratio=0.1"), HasSubstr("no parameter ratio; it has none"));
    EXPECT_THAT(error_of("epic:ratio=0.1"), HasSubstr("it has head_rows"));
    EXPECT_THAT(error_of("epic:head_rows"), HasSubstr("\"head_rows\" is not key=value"));
    EXPECT_THAT(error_of("epic:head_rows=4,head_rows=5"), HasSubstr("given twice"));
    for (const char* value : {"", "x", "4x", "4.5", "99999999999"}) {
        EXPECT_THAT(error_of(std::string("epic:head_rows=") + value), HasSubstr("head_rows must"));
    }
    EXPECT_THAT(error_of("cacheblend:ratio=0.1.2"), HasSubstr("ratio must be"));
    EXPECT_THAT(error_of("cacheblend:ratio=0.3/0.1"), HasSubstr("ratio must be"));
    EXPECT_THAT(error_of("cacheblend:layer=1/,ratio=0.3/0.1"), HasSubstr("layer must be"));
    EXPECT_THAT(error_of("query:rank=deviation"), HasSubstr("rank must be"));
    EXPECT_THAT(error_of("cacheblend:deviation=heads"), HasSubstr("deviation must be"));
}

ModelInfo model_of(int32_t n_layer, ReuseSupport support) {
    ModelInfo model;
    model.kv.n_layer = n_layer;
    model.support = support;
    return model;
}

TEST(PolicySetting, DefaultsSweepEverySelectorOnce) {
    std::set<std::string> labels, names;
    for (const PolicySetting& setting : default_policies(model_of(8, ReuseSupport::kFused))) {
        EXPECT_TRUE(labels.insert(setting.label).second) << setting.label;
        EXPECT_TRUE(make_selector(setting.params, 8).ok()) << setting.label;
        names.insert(setting.params.policy);
    }
    for (const std::string_view name : selector_names()) {
        EXPECT_TRUE(names.contains(std::string(name))) << name;
    }
}

TEST(PolicySetting, DefaultsSuitTheModel) {
    for (const PolicySetting& setting : default_policies(model_of(4, ReuseSupport::kFused))) {
        EXPECT_TRUE(setting.params.policy != "cacheblend" || setting.params.stages[0].layer <= 2)
            << setting.label;
    }
    const auto spans = default_policies(model_of(8, ReuseSupport::kSpans));
    EXPECT_FALSE(spans.empty());
    for (const PolicySetting& setting : spans) {
        EXPECT_FALSE(make_selector(setting.params, 8).value()->needs_fused_pass()) << setting.label;
    }
}

TEST(PolicySetting, DescribesEverySelector) {
    const std::string text = describe_policies();
    for (const std::string_view name : selector_names()) EXPECT_THAT(text, HasSubstr(name));
    EXPECT_THAT(text, HasSubstr("epic: head_rows"));
}

}  // namespace
}  // namespace spolia
