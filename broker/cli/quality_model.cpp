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
    Result<std::unique_ptr<LlamaModel>> model =
        LlamaModel::load({options.path.string(), options.n_gpu_layers, {}});
    if (!model) return std::move(model).error();
    opened.model = std::move(model).value();
    Result<std::unique_ptr<LlamaTextModel>> text = LlamaTextModel::create(opened.model->get(), "");
    if (!text) return std::move(text).error();
    opened.text = std::move(text).value();
    Result<std::vector<QualityPrompt>> prompts = make_prompts(
        tasks, *opened.text, {opened.model->file_fingerprint(), ""}, options.prompts_of_kind_max);
    if (!prompts) return std::move(prompts).error();
    opened.prompts = std::move(prompts).value();

    LlamaEngineOptions engine_options;
    engine_options.n_ctx = opened.longest_prompt() + options.answer_tokens_max;
    engine_options.n_sequences = 1;
    engine_options.n_threads = options.n_threads;
    Result<std::unique_ptr<LlamaEngine>> engine =
        LlamaEngine::create(*opened.model, engine_options);
    if (!engine) return std::move(engine).error();
    opened.engine = std::move(engine).value();
    return opened;
}

}  // namespace spolia
