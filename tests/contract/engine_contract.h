#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "reuse/engine.h"

namespace spolia::testing {

// An engine to put to the test: at least 3 sequences of at least 200 rows, in batches of at
// most 64.
struct EngineUnderTest {
    std::string name;
    std::function<std::unique_ptr<Engine>()> make;
};
inline void PrintTo(const EngineUnderTest& each, std::ostream* out) { *out << each.name; }

// What reuse/engine.h promises of every engine. Instantiate it with engines of each support level.
class EngineContract : public ::testing::TestWithParam<EngineUnderTest> {
protected:
    void SetUp() override;

    std::vector<Token> text(int32_t n_rows);
    // Fails the test, and gives an empty report, where the engine does.
    PrefillReport prefill(const PrefillPlan& plan, const PrefillTick& tick = {});
    PrefillReport prefill_dense(int32_t sequence, std::span<const Token> tokens);
    void decode(const std::vector<DecodeItem>& items);
    std::vector<float> logits(int32_t sequence) const;
    std::unique_ptr<KvBlock> encode(std::span<const Token> tokens);
    // Rows of a sequence; null where the engine refuses.
    std::unique_ptr<KvBlock> page(int32_t sequence, int32_t begin, std::span<const Token> tokens);
    // Skips what engines without blocks don't do.
    bool has_blocks() const { return engine_->info().support != ReuseSupport::kExactOnly; }

    std::unique_ptr<Engine> engine_;
    std::mt19937 generator_{80};
};

// Logits as far apart as batches of different sizes make them.
void expect_near(std::span<const float> ours, std::span<const float> theirs);

}  // namespace spolia::testing
