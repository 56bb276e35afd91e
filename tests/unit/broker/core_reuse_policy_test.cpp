#include "broker/core/reuse_policy.h"

#include <gtest/gtest.h>

namespace spolia {
namespace {

ModelInfo model_of(int32_t n_layer, ReuseSupport support = ReuseSupport::kFused) {
    ModelInfo model;
    model.kv.n_layer = n_layer;
    model.support = support;
    return model;
}

ReusePolicy resolved(const ReuseOptions& request, const ReuseDefaults& defaults,
                     const ModelInfo& model) {
    Result<ReusePolicy> policy = resolve_reuse(request, defaults, model);
    EXPECT_TRUE(policy.ok()) << (policy.ok() ? "" : policy.error().message);
    return policy.ok() ? std::move(policy).value() : ReusePolicy();
}

TEST(ReusePolicy, ChecksAtTheDefaultsLayer) {
    ReuseDefaults defaults;
    defaults.check_layer = 3;
    ReuseOptions request;
    for (const char* name : {"cacheblend", "query"}) {
        request.policy = name;
        request.recompute_ratio = 0.2;
        const ReusePolicy policy = resolved(request, defaults, model_of(8));
        ASSERT_EQ(policy.selector->stages().size(), 1u) << name;
        EXPECT_EQ(policy.selector->stages()[0].layer, 3) << name;
        EXPECT_DOUBLE_EQ(policy.selector->stages()[0].ratio, 0.2) << name;
        EXPECT_EQ(policy.params.stages[0].layer, 3) << "what its cost is told from";
    }
}

TEST(ReusePolicy, TheCheckLayerIsOneOfTheModels) {
    ReuseDefaults defaults;
    defaults.check_layer = 9;
    EXPECT_EQ(resolved({}, defaults, model_of(4)).selector->stages()[0].layer, 3);
}

TEST(ReusePolicy, EpicStandsInWhereThereIsNoFusedPass) {
    ReuseOptions request;
    for (const char* name : {"cacheblend", "query", "none", "full", "epic"}) {
        request.policy = name;
        const ReusePolicy policy = resolved(request, {}, model_of(8, ReuseSupport::kSpans));
        const bool needs_it = std::string_view(name) == "cacheblend" || *request.policy == "query";
        EXPECT_EQ(policy.fell_back, needs_it) << name;
        EXPECT_EQ(policy.selector->name(), needs_it ? "epic" : name);
    }
}

TEST(ReusePolicy, AnAgentThatIsNotConfiguredIsRefused) {
    ReuseDefaults defaults;
    defaults.agents["judge"].fidelity = Fidelity::kExact;
    defaults.agents["writer"].fidelity = Fidelity::kFast;
    ReuseOptions request;
    EXPECT_EQ(resolved(request, defaults, model_of(8)).fidelity, Fidelity::kGuarded);
    request.agent = "judge";
    EXPECT_EQ(resolved(request, defaults, model_of(8)).fidelity, Fidelity::kExact);
    request.agent = "Judge";
    Result<ReusePolicy> policy = resolve_reuse(request, defaults, model_of(8));
    ASSERT_FALSE(policy.ok());
    EXPECT_EQ(policy.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(policy.error().message,
              "agent \"Judge\" is not in the configuration, which has judge, writer; add "
              "[reuse.agents.Judge] to it, or leave spolia.agent out");
    policy = resolve_reuse(request, {}, model_of(8));
    ASSERT_FALSE(policy.ok());
    EXPECT_NE(policy.error().message.find("which has none;"), std::string::npos);
}

TEST(ReusePolicy, AgentsThatCantBeServedAreFoundAtTheStart) {
    ReuseDefaults defaults;
    defaults.agents["judge"].fidelity = Fidelity::kExact;
    EXPECT_TRUE(check_defaults(defaults, model_of(8)).ok());
    defaults.agents["judge"].recompute_ratio = 2;
    const Status status = check_defaults(defaults, model_of(8));
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().message.rfind("agent judge: recompute_ratio is 2", 0), 0u);
    defaults.agents.clear();
    defaults.policy = "magic";
    EXPECT_FALSE(check_defaults(defaults, model_of(8)).ok());
}

}  // namespace
}  // namespace spolia
