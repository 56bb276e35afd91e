#include "adapters/llama/llama_engine.h"
#include "tests/contract/engine_contract.h"
#include "tests/support/tiny_models.h"

namespace spolia::testing {
namespace {

std::vector<EngineUnderTest> engines() {
    std::vector<EngineUnderTest> engines;
    // Granite has no fused pass, and LongRoPE's rows can't be moved.
    for (const char* name : {"llama", "qwen2", "qwen3", "granite"}) {
        engines.push_back({name, [name] { return make_engine(tiny_model(name)); }});
    }
    engines.push_back({"longrope", [] {
                           RandomModelShape shape = tiny_model_shape("llama");
                           shape.rope_scaling = "longrope";
                           shape.rope_scale_factor = 4.0f;
                           shape.rope_orig_ctx = 4096;
                           return make_engine(tiny_model(shape));
                       }});
    return engines;
}

INSTANTIATE_TEST_SUITE_P(LlamaEngine, EngineContract, ::testing::ValuesIn(engines()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace spolia::testing
