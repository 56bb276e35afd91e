#include "tests/contract/engine_contract.h"
#include "tests/support/fake_engine.h"

namespace spolia::testing {
namespace {

// What the tests of the broker take for an engine behaves like one.
std::vector<EngineUnderTest> engines() {
    // Of plans that no engine takes the fake complains here; that it refuses them is what counts.
    static test::FakeEngineControl control;
    std::vector<EngineUnderTest> engines;
    for (const auto& [name, support] : {std::pair{"fused", ReuseSupport::kFused},
                                        {"spans", ReuseSupport::kSpans},
                                        {"exact_only", ReuseSupport::kExactOnly}}) {
        const test::FakeEngineOptions options{.support = support};
        engines.push_back(
            {name, [options] { return std::make_unique<test::FakeEngine>(options, control); }});
    }
    return engines;
}

INSTANTIATE_TEST_SUITE_P(FakeEngine, EngineContract, ::testing::ValuesIn(engines()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace spolia::testing
