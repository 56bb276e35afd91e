#include "broker/local_stack.h"

#include <utility>

#include "adapters/llama/text_model.h"
#include "broker/core/local_service.h"
#include "broker/quality/check_layer_file.h"

namespace spolia {
namespace {

ServiceOptions service_options(const Config& config, const ModelInfo& model) {
    ServiceOptions options;
    options.reuse.fidelity = config.reuse.fidelity;
    options.reuse.policy = config.reuse.policy;
    options.reuse.recompute_ratio = config.reuse.recompute_ratio;
    options.reuse.head_rows = config.reuse.head_rows;
    options.reuse.check_layer = check_layer_of(config.cache.directory, model);
    options.reuse.budget = config.reuse.budget;
    options.reuse.agents = config.reuse.agents;
    options.shadow_share = config.reuse.shadow_share;
    options.shadow_time = config.reuse.shadow_time;
    options.chunker = config.reuse.chunker;
    options.donors.enabled = config.reuse.donors;
    options.reuse_by_cost = config.reuse.by_cost;
    options.encode_seen_chunks = config.reuse.encode_seen;
    options.capture_pages = config.reuse.capture_pages;
    options.store.ram_bytes_max = config.cache.ram_bytes_max;
    options.store.directory = config.cache.directory;
    options.store.disk_bytes_max = config.cache.disk_bytes_max;
    options.anchors.bytes_max = config.cache.anchor_bytes_max;
    options.queue_max = static_cast<size_t>(config.limits.queue_max);
    options.encode_queue_max = static_cast<size_t>(config.limits.encode_queue_max);
    return options;
}

LlamaEngineOptions engine_options(const ModelConfig& config, const LlamaModel& model) {
    LlamaEngineOptions options;
    options.n_ctx =
        config.n_ctx > 0
            ? config.n_ctx
            : static_cast<int32_t>(model.arch_number("context_length").value_or(options.n_ctx));
    options.n_sequences = config.n_sequences;
    options.n_threads = config.n_threads;
    options.n_batch_rows = config.n_ubatch;
    return options;
}

}  // namespace

Result<std::unique_ptr<LlamaEngine>> open_engine(const ModelConfig& config,
                                                 const LlamaModel& model) {
    auto engine = LlamaEngine::create(model, engine_options(config, model));
    if (engine.ok() || engine.error().code != ErrorCode::kOutOfMemory) return engine;
    return Error{ErrorCode::kOutOfMemory,
                 engine.error().message + "; lower --ctx-size or --parallel, or else --ubatch"};
}

Result<LocalStack> open_local_stack(const Config& config, const ServedElsewhere& elsewhere) {
    if (config.model.path.empty()) {
        return Error{ErrorCode::kInvalidArgument,
                     "no model: name a GGUF file with --model, SPOLIA_MODEL or model.path"};
    }
    LlamaModelOptions model_options;
    model_options.path = config.model.path.string();
    model_options.gpu_layers = config.model.n_gpu_layers;
    LocalStack stack;
    Result<std::unique_ptr<LlamaModel>> model = LlamaModel::load(model_options);
    if (!model.ok()) return model.error();
    stack.model = *std::move(model);

    Result<std::unique_ptr<LlamaTextModel>> text =
        LlamaTextModel::create(stack.model->get(), elsewhere.chat_template);
    if (!text.ok()) return text.error();
    Result<std::unique_ptr<LlamaEngine>> engine = open_engine(config.model, *stack.model);
    if (!engine.ok()) return engine.error();
    ServiceOptions options = service_options(config, (*engine)->info());
    options.busy_elsewhere = elsewhere.busy;
    options.page_scope = elsewhere.name;
    Result<std::unique_ptr<Service>> service =
        open_service(*std::move(engine), *std::move(text), std::move(options));
    if (!service.ok()) return service.error();
    stack.service = *std::move(service);
    return stack;
}

}  // namespace spolia
