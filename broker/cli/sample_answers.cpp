#include "broker/cli/sample_answers.h"

#include <cstdio>
#include <filesystem>
#include <utility>
#include <vector>

#include "broker/cli/own_models.h"
#include "broker/cli/quality_model.h"
#include "broker/cli/report.h"
#include "broker/quality/built_in_tasks.h"
#include "broker/quality/policy_setting.h"
#include "broker/quality/quality_bench.h"
#include "broker/quality/report.h"

namespace spolia {
namespace {

constexpr int32_t kQuestionsOfKind = 20;
constexpr int32_t kAnswerTokensMax = 4;

Result<std::vector<PolicySetting>> shown_policies() {
    std::vector<PolicySetting> settings;
    for (const char* text : {"none", "cacheblend", "cacheblend:layer=2", "adaptive:layer=2"}) {
        Result<PolicySetting> setting = parse_policy(text);
        if (!setting) return std::move(setting).error();
        settings.push_back(std::move(setting).value());
    }
    return settings;
}

}  // namespace

Status print_sample_answers(int n_threads) {
    const Result<std::filesystem::path> path = sample_model();
    if (!path.ok()) return path.error();
    const TaskOptions options{.kinds = {TaskKind::kSingleFact, TaskKind::kLatestUpdate,
                                        TaskKind::kCoreference, TaskKind::kTwoHops}};
    const Result<std::vector<QualityTask>> tasks = built_in_tasks(options, kQuestionsOfKind);
    if (!tasks.ok()) return tasks.error();
    const Result<QualityModel> model = open_quality_model(
        {.path = *path, .n_threads = n_threads, .answer_tokens_max = kAnswerTokensMax}, *tasks);
    if (!model.ok()) return model.error();
    const Result<std::vector<PolicySetting>> settings = shown_policies();
    if (!settings.ok()) return settings.error();
    const Result<std::vector<WayFigures>> ways =
        measure_quality(*model->engine, *model->text, model->prompts, *settings,
                        {.tokens_max = kAnswerTokensMax}, [](size_t, size_t) {});
    if (!ways.ok()) return ways.error();
    std::printf("\nRight answers of the sample model, %d questions of each kind:\n\n%s",
                kQuestionsOfKind, format_table(accuracy_table(*ways)).c_str());
    return {};
}

}  // namespace spolia
