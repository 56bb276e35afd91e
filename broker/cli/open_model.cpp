#include "broker/cli/open_model.h"

#include <utility>

namespace spolia {

Status OpenModel::open(const std::filesystem::path& path, int n_gpu_layers) {
    Result<std::unique_ptr<LlamaModel>> loaded =
        LlamaModel::load({path.string(), n_gpu_layers, {}});
    if (!loaded) return std::move(loaded).error();
    model = std::move(loaded).value();
    Result<std::unique_ptr<LlamaTextModel>> created = LlamaTextModel::create(model->get(), "");
    if (!created) return std::move(created).error();
    text = std::move(created).value();
    return {};
}

Status OpenModel::open_engine(const LlamaEngineOptions& options) {
    Result<std::unique_ptr<LlamaEngine>> created = LlamaEngine::create(*model, options);
    if (!created) return std::move(created).error();
    engine = std::move(created).value();
    return {};
}

}  // namespace spolia
