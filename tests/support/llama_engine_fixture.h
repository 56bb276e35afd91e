#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "adapters/llama/load_gate.h"
#include "tests/support/prompts.h"
#include "tests/support/tiny_models.h"

namespace spolia::testing {

// Two ways of computing the same row differ by the order of sums and the rounding to half floats.
inline constexpr double kKlMax = 1e-3;
inline constexpr double kRowErrorMax = 1e-5;

struct EngineCase {
    const char* architecture;
    AttentionKernel attention;
};

inline std::string name_of(const EngineCase& c) {
    return std::string(c.architecture) +
           (c.attention == AttentionKernel::kTiled ? "_tiled" : "_flash");
}
inline void PrintTo(const EngineCase& c, std::ostream* out) { *out << name_of(c); }

class LlamaEngineTest : public ::testing::Test {
protected:
    void open(const char* architecture, AttentionKernel attention = AttentionKernel::kAuto,
              int32_t n_batch_rows = 64) {
        LlamaEngineOptions options = tiny_engine_options();
        options.attention = attention;
        options.n_batch_rows = n_batch_rows;
        engine_ = make_engine(tiny_model(architecture), options);
        ASSERT_NE(engine_, nullptr);
        ASSERT_EQ(engine_->info().support, ReuseSupport::kFused) << engine_->info().support_reason;
    }

    const KvBlock& encode(const std::vector<Token>& tokens) {
        auto block = engine_->encode_isolated({}, tokens, {});
        EXPECT_TRUE(block.ok()) << (block.ok() ? "" : block.error().message);
        return *blocks_.emplace_back(std::move(block).value());
    }
    const KvBlock& random_chunk(int32_t n_rows) {
        return encode(random_tokens(generator_, n_rows));
    }
    std::vector<Token> text(int32_t n) { return random_tokens(generator_, n); }

    PrefillReport prefill(const PrefillPlan& plan, const PrefillTick& tick = {}) {
        Result<PrefillReport> report = engine_->prefill(plan, tick);
        EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
        if (!report) return {};
        EXPECT_EQ(report->n_exact + report->n_shifted + report->n_blended + report->n_computed,
                  static_cast<int32_t>(plan.tokens.size()));
        EXPECT_EQ(report->n_blended, static_cast<int32_t>(report->blended_rows.size()));
        EXPECT_TRUE(std::ranges::is_sorted(report->blended_rows));
        EXPECT_TRUE(
            std::ranges::all_of(logits(plan.sequence), [](float x) { return std::isfinite(x); }));
        return *std::move(report);
    }
    PrefillReport prefill_dense(int32_t sequence, const std::vector<Token>& tokens) {
        return prefill(dense_plan(sequence, tokens));
    }

    std::span<const float> logits(int32_t sequence) { return engine_->logits(sequence); }
    double kl(int32_t p, int32_t q) { return kl_divergence(logits(p), logits(q)); }

    std::unique_ptr<KvBlock> rows(int32_t sequence, int32_t begin, int32_t n_rows) {
        return page_of(*engine_, sequence, begin, n_rows);
    }

    // Both sequences go on with what the first one finds likeliest, 32 times.
    void expect_same_continuation(int32_t dense, int32_t other) {
        for (int step = 0; step < 32; ++step) {
            ASSERT_LE(kl(dense, other), kKlMax) << "step " << step;
            const Token token = argmax(logits(dense));
            const float lead =
                std::ranges::max(logits(other)) - logits(other)[static_cast<size_t>(token)];
            ASSERT_LT(lead, 0.02f) << "step " << step << ": another token, and not by a tie";
            const std::vector<DecodeItem> items = {{dense, token}, {other, token}};
            ASSERT_TRUE(engine_->decode(items).ok());
        }
    }

    std::unique_ptr<LlamaEngine> engine_;
    std::vector<std::unique_ptr<KvBlock>> blocks_;
    std::mt19937 generator_{60};
};

inline double worst_error(const KvBlock& ours, const KvBlock& theirs, int32_t first_layer = 0,
                          int32_t last_layer = INT32_MAX) {
    double worst = 0.0;
    for (int32_t layer = first_layer; layer < std::min(last_layer, ours.meta().layout.n_layer);
         ++layer) {
        worst = std::max({worst, relative_error(ours.k(layer), theirs.k(layer)),
                          relative_error(ours.v(layer), theirs.v(layer))});
    }
    return worst;
}

inline bool same_bits(const KvBlock& a, const KvBlock& b) {
    return std::ranges::equal(a.data(), b.data());
}

inline constexpr EngineCase kCases[] = {
    {"llama", AttentionKernel::kTiled}, {"llama", AttentionKernel::kFlash},
    {"qwen2", AttentionKernel::kTiled}, {"qwen2", AttentionKernel::kFlash},
    {"qwen3", AttentionKernel::kTiled}, {"qwen3", AttentionKernel::kFlash},
};

}  // namespace spolia::testing
