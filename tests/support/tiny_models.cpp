#include "tests/support/tiny_models.h"

#include <gtest/gtest.h>
#include <llama.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

namespace spolia::testing {
namespace {

class TemporaryFolder {
public:
    TemporaryFolder()
        : path_((std::filesystem::temp_directory_path() / "spolia_models_XXXXXX").string()) {
        if (mkdtemp(path_.data()) == nullptr) std::abort();
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

std::string name_of(const RandomModelShape& shape) {
    std::string name = shape.architecture + "_" + shape.rope_scaling;
    for (const int32_t number :
         {shape.n_layer, shape.n_embd, shape.n_head, shape.n_head_kv, shape.head_dim, shape.n_ff,
          shape.n_vocab, shape.n_ctx_train, shape.rope_orig_ctx, int32_t{shape.rope_freq_factors},
          int32_t{shape.quantised}}) {
        name += "_" + std::to_string(number);
    }
    name += "_" + std::to_string(shape.rope_base) + "_" + std::to_string(shape.rope_scale_factor);
    return name + "_" + std::to_string(shape.seed);
}

}  // namespace

const std::string& temporary_folder() {
    static const TemporaryFolder folder;
    return folder.path();
}

std::string tiny_model_path(const RandomModelShape& shape) {
    const std::string path = temporary_folder() + "/" + name_of(shape) + ".gguf";
    if (!std::filesystem::exists(path)) {
        const Status status = write_random_model(shape, path);
        EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
    }
    return path;
}

const LlamaModel& tiny_model(const RandomModelShape& shape) {
    static std::map<std::string, std::unique_ptr<LlamaModel>> models;
    const std::string path = tiny_model_path(shape);
    std::unique_ptr<LlamaModel>& model = models[path];
    if (!model) {
        auto loaded = LlamaModel::load({path, 0, {}});
        if (!loaded) {
            ADD_FAILURE() << loaded.error().message;
            std::abort();
        }
        model = std::move(loaded).value();
    }
    return *model;
}

const LlamaModel& tiny_model(const std::string& architecture) {
    return tiny_model(tiny_model_shape(architecture));
}

LlamaEngineOptions tiny_engine_options() {
    LlamaEngineOptions options;
    options.n_ctx = 256;
    options.n_sequences = 3;
    options.n_threads = 1;
    options.n_batch_rows = 64;
    return options;
}

std::unique_ptr<LlamaEngine> make_engine(const LlamaModel& model,
                                         const LlamaEngineOptions& options) {
    auto engine = LlamaEngine::create(model, options);
    if (!engine) {
        ADD_FAILURE() << engine.error().message;
        return nullptr;
    }
    return std::move(engine).value();
}

TinyContext::TinyContext(const LlamaModel& model, int32_t n_sequences, int32_t n_ctx) {
    const int32_t n_head = llama_model_n_head(model.get());
    const int32_t head_dim =
        static_cast<int32_t>(model.arch_number("attention.key_length")
                                 .value_or(llama_model_n_embd(model.get()) / n_head));
    const int32_t kv_dim = llama_model_n_head_kv(model.get()) * head_dim;
    layout = {llama_model_n_layer(model.get()), kv_dim, kv_dim};
    rope = read_rope(model, head_dim).value();

    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(n_ctx * n_sequences);
    params.n_seq_max = static_cast<uint32_t>(n_sequences);
    params.n_batch = params.n_ubatch = 64;
    params.n_threads = params.n_threads_batch = 1;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    params.kv_unified = false;
    params.cb_eval = KvTensors::on_eval;
    params.cb_eval_user_data = &tensors;
    context = llama_init_from_model(model.get(), params);
    if (context == nullptr) std::abort();
    cache = std::make_unique<SequenceCache>(
        context, layout, n_sequences, static_cast<int32_t>(llama_n_ctx_seq(context)),
        llama_vocab_n_tokens(llama_model_get_vocab(model.get())));
    std::mt19937 generator(1);
    const Status status = cache->probe(&tensors, random_tokens(generator, 20));
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
}

TinyContext::~TinyContext() { llama_free(context); }

std::vector<Token> random_tokens(std::mt19937& generator, int32_t n) {
    std::uniform_int_distribution<Token> token(300, 1023);
    std::vector<Token> tokens(static_cast<size_t>(n));
    for (Token& each : tokens) each = token(generator);
    return tokens;
}

int32_t argmax(std::span<const float> logits) {
    return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace spolia::testing
