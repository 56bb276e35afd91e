#include "tests/support/tiny_bert.h"

#include <ggml.h>
#include <gguf.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <random>
#include <vector>

#include "tests/support/tiny_models.h"

namespace spolia::testing {
namespace {

constexpr int64_t kWidth = 32, kInnerWidth = 64;
constexpr uint32_t kLayers = 2, kHeads = 2;

// A word's first piece begins with U+2581.
std::vector<std::string> vocabulary() {
    std::vector<std::string> pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    const std::string begin = "\xe2\x96\x81";
    for (char letter = 'a'; letter <= 'z'; ++letter) {
        pieces.push_back(std::string(1, letter));
        pieces.push_back(begin + letter);
    }
    for (const char* word : {"the", "otter", "heron", "swims", "river", ".", ","}) {
        pieces.push_back(begin + word);
    }
    return pieces;
}

void set_metadata(gguf_context* gguf, const TinyBertShape& shape) {
    const auto u32 = [&](const char* key, uint32_t value) { gguf_set_val_u32(gguf, key, value); };
    gguf_set_val_str(gguf, "general.architecture", "bert");
    u32("bert.block_count", kLayers);
    u32("bert.context_length", shape.n_ctx);
    u32("bert.embedding_length", kWidth);
    u32("bert.feed_forward_length", kInnerWidth);
    u32("bert.attention.head_count", kHeads);
    u32("bert.pooling_type", shape.pooling);
    gguf_set_val_f32(gguf, "bert.attention.layer_norm_epsilon", 1e-6f);
    gguf_set_val_bool(gguf, "bert.attention.causal", false);
    gguf_set_val_str(gguf, "tokenizer.ggml.model", "bert");
    u32("tokenizer.ggml.token_type_count", 2);
    u32("tokenizer.ggml.padding_token_id", 0);
    u32("tokenizer.ggml.unknown_token_id", 1);
    u32("tokenizer.ggml.bos_token_id", 2);
    u32("tokenizer.ggml.cls_token_id", 2);
    u32("tokenizer.ggml.seperator_token_id", 3);
    u32("tokenizer.ggml.mask_token_id", 4);
    const std::vector<std::string> pieces = vocabulary();
    std::vector<const char*> pointers;
    for (const std::string& piece : pieces) pointers.push_back(piece.c_str());
    gguf_set_arr_str(gguf, "tokenizer.ggml.tokens", pointers.data(), pointers.size());
}

// Adds tensors of random numbers to a file.
class Tensors {
public:
    Tensors(gguf_context* gguf, uint64_t seed)
        : gguf_(gguf),
          generator_(seed),
          context_(ggml_init({1 << 20, nullptr, false}), ggml_free) {}

    void add(const std::string& name, int64_t columns, int64_t rows, float mean, float deviation) {
        const int64_t shape[2] = {columns, rows};
        ggml_tensor* tensor =
            ggml_new_tensor(context_.get(), GGML_TYPE_F32, rows > 1 ? 2 : 1, shape);
        ggml_set_name(tensor, name.c_str());
        std::normal_distribution<float> number(mean, deviation);
        auto* data = static_cast<float*>(tensor->data);
        for (int64_t i = 0; i < columns * rows; ++i) data[i] = number(generator_);
        gguf_add_tensor(gguf_, tensor);
    }
    void matrix(const std::string& name, int64_t columns, int64_t rows) {
        add(name + ".weight", columns, rows, 0, 0.3f);
    }
    void norm(const std::string& name) {
        add(name + ".weight", kWidth, 1, 1, 0.1f);
        add(name + ".bias", kWidth, 1, 0, 0.1f);
    }

private:
    gguf_context* gguf_;
    std::mt19937_64 generator_;
    std::unique_ptr<ggml_context, decltype(&ggml_free)> context_;
};

void write(const TinyBertShape& shape, const std::string& path) {
    const std::unique_ptr<gguf_context, decltype(&gguf_free)> gguf(gguf_init_empty(), gguf_free);
    set_metadata(gguf.get(), shape);
    Tensors tensors(gguf.get(), shape.seed);
    tensors.matrix("token_embd", kWidth, static_cast<int64_t>(vocabulary().size()));
    tensors.matrix("token_types", kWidth, 2);
    tensors.matrix("position_embd", kWidth, shape.n_ctx);
    tensors.norm("token_embd_norm");
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
        const std::string prefix = "blk." + std::to_string(layer) + ".";
        for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
            tensors.matrix(prefix + name, kWidth, kWidth);
        }
        tensors.norm(prefix + "attn_output_norm");
        tensors.matrix(prefix + "ffn_up", kWidth, kInnerWidth);
        tensors.matrix(prefix + "ffn_down", kInnerWidth, kWidth);
        tensors.norm(prefix + "layer_output_norm");
    }
    EXPECT_TRUE(gguf_write_to_file(gguf.get(), path.c_str(), false));
}

}  // namespace

std::string tiny_bert_path(const TinyBertShape& shape) {
    const std::string path = temporary_folder() + "/bert_" + std::to_string(shape.pooling) + "_" +
                             std::to_string(shape.n_ctx) + "_" + std::to_string(shape.seed) +
                             ".gguf";
    if (!std::filesystem::exists(path)) write(shape, path);
    return path;
}

}  // namespace spolia::testing
