#include "broker/cli/quality_model.h"

#include <algorithm>
#include <utility>

namespace spolia {

int32_t QualityModel::longest_prompt() const {
    size_t most = 0;
    for (const QualityPrompt& prompt : prompts) most = std::max(most, prompt.tokens.size());
    return static_cast<int32_t>(most);
}

Result<QualityModel> open_quality_model(const QualityModelOptions& options,
                                        const std::vector<QualityTask>& tasks) {
    QualityModel opened;
    if (Status status = opened.open(options.path, options.n_gpu_layers); !status) {
        return status.error();
    }
    Result<std::vector<QualityPrompt>> prompts = make_prompts(
        tasks, *opened.text, {opened.model->file_fingerprint(), ""}, options.prompts_of_kind_max);
    if (!prompts) return std::move(prompts).error();
    opened.prompts = std::move(prompts).value();

    LlamaEngineOptions engine_options;
    engine_options.n_ctx = opened.longest_prompt() + options.answer_tokens_max;
    engine_options.n_sequences = 1;
    engine_options.n_threads = options.n_threads;
    if (Status status = opened.open_engine(engine_options); !status) return status.error();
    return opened;
}

}  // namespace spolia
