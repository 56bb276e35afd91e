#include "adapters/llama/random_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "ggml.h"
#include "gguf.h"

namespace spolia {
namespace {

constexpr std::string_view kChatTemplate =
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}";

// llama.cpp's token types, as GGUF stores them.
enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };

struct Vocabulary {
    std::vector<std::string> pieces;
    std::vector<float> scores;
    std::vector<int32_t> types;

    void add(std::string piece, float score, TokenType type) {
        pieces.push_back(std::move(piece));
        scores.push_back(score);
        types.push_back(type);
    }
};

// Bytes, printable ASCII, then pairs of lower-case letters as long as there is room, then pieces
// that no text produces. Pairs make English text come out at about two bytes a token.
Vocabulary make_vocabulary(int32_t n_vocab) {
    Vocabulary vocabulary;
    vocabulary.add("<unk>", 0.0f, kUnknown);
    vocabulary.add("<s>", 0.0f, kControl);
    vocabulary.add("</s>", 0.0f, kControl);
    for (int byte = 0; byte < 256; ++byte) {
        char name[8];
        std::snprintf(name, sizeof name, "<0x%02X>", byte);
        vocabulary.add(name, 0.0f, kByte);
    }
    const std::string space = "\xe2\x96\x81";  // SentencePiece writes a space as U+2581
    vocabulary.add(space, -1000.0f, kNormal);
    for (char c = '!'; c <= '~'; ++c) vocabulary.add(std::string(1, c), -1000.0f, kNormal);
    float score = -1.0f;
    const auto room = [&] { return static_cast<int32_t>(vocabulary.pieces.size()) < n_vocab; };
    for (char first = 'a'; first <= 'z' && room(); ++first) {
        for (char second = 'a'; second <= 'z' && room(); ++second) {
            vocabulary.add({first, second}, score--, kNormal);
        }
    }
    for (int32_t filler = 0; room(); ++filler) {
        vocabulary.add("<filler_" + std::to_string(filler) + ">", -1e6f, kNormal);
    }
    return vocabulary;
}

void set_string_array(gguf_context* gguf, const char* key, const std::vector<std::string>& values) {
    std::vector<const char*> pointers;
    pointers.reserve(values.size());
    for (const std::string& value : values) pointers.push_back(value.c_str());
    gguf_set_arr_str(gguf, key, pointers.data(), pointers.size());
}

void set_tokenizer(gguf_context* gguf, int32_t n_vocab) {
    const Vocabulary vocabulary = make_vocabulary(n_vocab);
    gguf_set_val_str(gguf, "tokenizer.ggml.model", "llama");
    set_string_array(gguf, "tokenizer.ggml.tokens", vocabulary.pieces);
    gguf_set_arr_data(gguf, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, vocabulary.scores.data(),
                      vocabulary.scores.size());
    gguf_set_arr_data(gguf, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, vocabulary.types.data(),
                      vocabulary.types.size());
    gguf_set_val_u32(gguf, "tokenizer.ggml.unknown_token_id", 0);
    gguf_set_val_u32(gguf, "tokenizer.ggml.bos_token_id", 1);
    gguf_set_val_u32(gguf, "tokenizer.ggml.eos_token_id", 2);
    gguf_set_val_bool(gguf, "tokenizer.ggml.add_bos_token", true);
    gguf_set_val_bool(gguf, "tokenizer.ggml.add_space_prefix", false);
    gguf_set_val_str(gguf, "tokenizer.chat_template", std::string(kChatTemplate).c_str());
}

void set_hyperparameters(gguf_context* gguf, const RandomModelShape& shape) {
    const std::string prefix = shape.architecture + ".";
    const auto u32 = [&](const char* key, int32_t value) {
        gguf_set_val_u32(gguf, (prefix + key).c_str(), static_cast<uint32_t>(value));
    };
    const auto f32 = [&](const char* key, float value) {
        gguf_set_val_f32(gguf, (prefix + key).c_str(), value);
    };
    gguf_set_val_str(gguf, "general.architecture", shape.architecture.c_str());
    gguf_set_val_str(gguf, "general.name", "random weights");
    gguf_set_val_bool(gguf, "spolia.random_weights", true);
    u32("block_count", shape.n_layer);
    u32("context_length", shape.n_ctx_train);
    u32("embedding_length", shape.n_embd);
    u32("feed_forward_length", shape.n_ff);
    u32("attention.head_count", shape.n_head);
    u32("attention.head_count_kv", shape.n_head_kv);
    u32("attention.key_length", shape.head_dim);
    u32("attention.value_length", shape.head_dim);
    u32("rope.dimension_count", shape.head_dim);
    u32("vocab_size", shape.n_vocab);
    f32("attention.layer_norm_rms_epsilon", 1e-6f);
    f32("rope.freq_base", shape.rope_base);
    if (shape.architecture == "granite") f32("logit_scale", 1.0f);
    if (!shape.rope_scaling.empty()) {
        gguf_set_val_str(gguf, (prefix + "rope.scaling.type").c_str(), shape.rope_scaling.c_str());
        f32("rope.scaling.factor", shape.rope_scale_factor);
        u32("rope.scaling.original_context_length", shape.rope_orig_ctx);
    }
}

struct TensorSpec {
    std::string name;
    int64_t columns;  // elements of a row: the matrix's input width, or a vector's length
    int64_t rows;     // 1 for vectors
    float mean;
    float deviation;
};

std::vector<TensorSpec> tensor_specs(const RandomModelShape& shape) {
    std::vector<TensorSpec> specs;
    const auto matrix = [&](std::string name, int64_t columns, int64_t rows) {
        specs.push_back(
            {std::move(name), columns, rows, 0.0f, 1.0f / std::sqrt(static_cast<float>(columns))});
    };
    const auto vector = [&](std::string name, int64_t n, float mean, float deviation) {
        specs.push_back({std::move(name), n, 1, mean, deviation});
    };
    const int64_t q_dim = int64_t{shape.n_head} * shape.head_dim;
    const int64_t kv_dim = int64_t{shape.n_head_kv} * shape.head_dim;
    specs.push_back({"token_embd.weight", shape.n_embd, shape.n_vocab, 0.0f, 1.0f});
    matrix("output.weight", shape.n_embd, shape.n_vocab);
    vector("output_norm.weight", shape.n_embd, 1.0f, 0.05f);
    if (shape.rope_freq_factors) vector("rope_freqs.weight", shape.head_dim / 2, 2.0f, 0.3f);
    for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
        const std::string prefix = "blk." + std::to_string(layer) + ".";
        vector(prefix + "attn_norm.weight", shape.n_embd, 1.0f, 0.05f);
        matrix(prefix + "attn_q.weight", shape.n_embd, q_dim);
        matrix(prefix + "attn_k.weight", shape.n_embd, kv_dim);
        matrix(prefix + "attn_v.weight", shape.n_embd, kv_dim);
        if (shape.architecture == "qwen2") {
            vector(prefix + "attn_q.bias", q_dim, 0.0f, 0.1f);
            vector(prefix + "attn_k.bias", kv_dim, 0.0f, 0.1f);
            vector(prefix + "attn_v.bias", kv_dim, 0.0f, 0.1f);
        }
        if (shape.architecture == "qwen3") {
            vector(prefix + "attn_q_norm.weight", shape.head_dim, 1.0f, 0.05f);
            vector(prefix + "attn_k_norm.weight", shape.head_dim, 1.0f, 0.05f);
        }
        matrix(prefix + "attn_output.weight", q_dim, shape.n_embd);
        vector(prefix + "ffn_norm.weight", shape.n_embd, 1.0f, 0.05f);
        matrix(prefix + "ffn_gate.weight", shape.n_embd, shape.n_ff);
        matrix(prefix + "ffn_up.weight", shape.n_embd, shape.n_ff);
        matrix(prefix + "ffn_down.weight", shape.n_ff, shape.n_embd);
    }
    return specs;
}

// Uniform numbers of the given mean and standard deviation: quicker to draw than normal ones, and a
// timing model is not told apart by their shape.
void fill(std::mt19937& generator, const TensorSpec& spec, std::vector<float>& values) {
    values.resize(static_cast<size_t>(spec.columns * spec.rows));
    const float half_width = spec.deviation * std::sqrt(3.0f);
    const float step = half_width / 2147483648.0f;
    for (float& value : values) {
        value = spec.mean - half_width + step * static_cast<float>(generator());
    }
}

Status check(const RandomModelShape& shape) {
    const auto fail = [](std::string message) {
        return Error{ErrorCode::kInvalidArgument, "random model: " + message};
    };
    constexpr std::array<std::string_view, 4> kArchitectures = {"llama", "qwen2", "qwen3",
                                                                "granite"};
    if (std::ranges::find(kArchitectures, shape.architecture) == kArchitectures.end()) {
        return fail("architecture '" + shape.architecture +
                    "' is not llama, qwen2, qwen3 or granite");
    }
    if (shape.n_vocab < kRandomVocabMin) {
        return fail("n_vocab must be at least " + std::to_string(kRandomVocabMin));
    }
    if (shape.architecture == "qwen2" && shape.n_head * shape.head_dim != shape.n_embd) {
        return fail("qwen2's n_embd is n_head x head_dim");
    }
    if (shape.n_head % shape.n_head_kv != 0) return fail("n_head is no multiple of n_head_kv");
    if (shape.quantised && (shape.n_embd % 32 != 0 || shape.n_ff % 32 != 0)) {
        return fail("Q8_0 needs widths that are multiples of 32");
    }
    return {};
}

}  // namespace

RandomModelShape tiny_model_shape(const std::string& architecture) {
    RandomModelShape shape;
    shape.architecture = architecture;
    shape.n_layer = 4;
    shape.n_embd = architecture == "qwen2" ? 128 : 64;  // qwen2's heads make up the whole width
    shape.n_head = 4;
    shape.n_head_kv = 2;
    shape.head_dim = 32;
    shape.n_ff = 128;
    shape.n_vocab = 1024;
    shape.n_ctx_train = 4096;
    shape.rope_base = 10000.0f;
    shape.quantised = false;
    return shape;
}

Status write_random_model(const RandomModelShape& shape, const std::string& path) {
    if (Status status = check(shape); !status) return status;

    const std::unique_ptr<gguf_context, decltype(&gguf_free)> gguf(gguf_init_empty(), gguf_free);
    set_hyperparameters(gguf.get(), shape);
    set_tokenizer(gguf.get(), shape.n_vocab);

    const std::vector<TensorSpec> specs = tensor_specs(shape);
    const ggml_init_params params{specs.size() * ggml_tensor_overhead(), nullptr, true};
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> tensors(ggml_init(params), ggml_free);
    std::vector<std::vector<uint8_t>> storage;
    std::vector<float> values;
    std::mt19937 generator(static_cast<uint32_t>(shape.seed));
    for (const TensorSpec& spec : specs) {
        fill(generator, spec, values);
        const bool matrix = spec.rows > 1;
        const ggml_type type = matrix && shape.quantised ? GGML_TYPE_Q8_0 : GGML_TYPE_F32;
        const int64_t shape_of[2] = {spec.columns, spec.rows};
        ggml_tensor* tensor = ggml_new_tensor(tensors.get(), type, matrix ? 2 : 1, shape_of);
        ggml_set_name(tensor, spec.name.c_str());
        storage.emplace_back(ggml_nbytes(tensor));
        ggml_quantize_chunk(type, values.data(), storage.back().data(), 0, spec.rows, spec.columns,
                            nullptr);
        tensor->data = storage.back().data();
        gguf_add_tensor(gguf.get(), tensor);
    }

    const std::string temporary = path + ".part";
    std::error_code error;
    if (!gguf_write_to_file(gguf.get(), temporary.c_str(), false)) {
        std::filesystem::remove(temporary, error);
        return Error{ErrorCode::kIo,
                     "can't write " + temporary + ": is the disk full, or the folder missing?"};
    }
    std::filesystem::rename(temporary, path, error);
    if (error) return Error{ErrorCode::kIo, "can't rename " + temporary + ": " + error.message()};
    return {};
}

}  // namespace spolia
