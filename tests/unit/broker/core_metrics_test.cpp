#include "broker/core/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace spolia {
namespace {

using testing::HasSubstr;

TEST(Metrics, ExportsWhatReceiptsAndStoresSay) {
    Metrics metrics;
    Receipt receipt;
    receipt.n_exact = 10;
    receipt.n_shifted = 20;
    receipt.n_computed = 5;
    receipt.misses = {{"first_sight", 7}};
    receipt.ttft_ms = 300;
    metrics.request_started(receipt);
    receipt.fallback = "over_budget";
    metrics.request_started(receipt);
    GenerateOutcome outcome;
    outcome.n_generated = 4;
    outcome.finish = FinishReason::kLength;
    metrics.request_done(outcome);
    metrics.request_failed(ErrorCode::kInternal);
    metrics.chunk_encoded();
    metrics.page_captured();
    metrics.shadow_compared(0.02);
    metrics.shadow_ended("cancelled");
    metrics.guard_demoted();
    ServiceStats stats;
    stats.guard = {{.label = "none", .n_samples = 120, .serves = GuardRegion::everything()},
                   {.label = "epic"}};
    stats.blocks.ram_bytes = 1000;
    stats.blocks.disk_bytes = 3000;
    stats.blocks.ram_evictions = 2;
    stats.sequences_busy = 3;
    (void)metrics.text(stats);
    stats.blocks.ram_evictions = 5;
    const std::string text = metrics.text(stats);
    for (const char* line : {"spolia_prompt_tokens_total{source=\"exact\"} 20\n",
                             "spolia_prompt_tokens_total{source=\"shifted\"} 40\n",
                             "spolia_prompt_tokens_total{source=\"computed\"} 10\n",
                             "spolia_misses_total{reason=\"first_sight\"} 2\n",
                             "spolia_missed_tokens_total{reason=\"first_sight\"} 14\n",
                             "spolia_ttft_seconds_count 2\n",
                             "spolia_ttft_seconds_bucket{le=\"0.25\"} 0\n",
                             "spolia_ttft_seconds_bucket{le=\"0.5\"} 2\n",
                             "spolia_requests_total{result=\"length\"} 1\n",
                             "spolia_requests_total{result=\"internal\"} 1\n",
                             "spolia_generated_tokens_total 4\n",
                             "spolia_chunks_encoded_total 1\n",
                             "spolia_pages_captured_total 1\n",
                             "spolia_blocks_bytes{tier=\"ram\"} 1000\n",
                             "spolia_blocks_bytes{tier=\"disk\"} 3000\n",
                             "spolia_fallbacks_total{reason=\"over_budget\"} 1\n",
                             "spolia_shadow_kl_bucket{le=\"0.01\"} 0\n",
                             "spolia_shadow_kl_bucket{le=\"0.025\"} 1\n",
                             "spolia_shadows_total{result=\"compared\"} 1\n",
                             "spolia_shadows_total{result=\"cancelled\"} 1\n",
                             "spolia_guard_demotions_total 1\n",
                             "spolia_guard_samples{rung=\"none\"} 120\n",
                             "spolia_guard_serves{rung=\"none\"} 1\n",
                             "spolia_guard_serves{rung=\"epic\"} 0\n",
                             "spolia_evictions_total{tier=\"ram\"} 5\n",
                             "spolia_sequences_busy 3\n"}) {
        EXPECT_THAT(text, HasSubstr(line));
    }
}

}  // namespace
}  // namespace spolia
