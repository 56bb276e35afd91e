#include "broker/quality/guard_lessons.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

#include "broker/quality/guarded_way.h"
#include "broker/quality/prompt_runner.h"

namespace spolia {
namespace {

constexpr uint64_t kShuffleSeed = 1;

}  // namespace

Result<std::vector<RungRecord>> teach_guard(Engine& engine, const TextModel& text,
                                            std::span<const QualityPrompt> prompts,
                                            ReusePolicy policy,
                                            const std::vector<RungRecord>& known,
                                            const QualityProgress& progress) {
    // What is tested on samples needs them drawn as requests will be, not sorted by kind.
    std::vector<size_t> order(prompts.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::shuffle(order, std::mt19937_64(kShuffleSeed));
    GuardedWay way(std::move(policy), known);
    PromptRunner runner(engine, text, 1);
    for (size_t i = 0; i < prompts.size(); ++i) {
        progress(i, prompts.size());
        const QualityPrompt& prompt = prompts[order[i]];
        const Result<PromptRun> dense = runner.dense(prompt);
        if (!dense.ok()) return dense.error();
        const Result<GuardedRun> run = way.run(runner, prompt, *dense);
        if (!run.ok()) return run.error();
    }
    progress(prompts.size(), prompts.size());
    return way.guard().records();
}

}  // namespace spolia
