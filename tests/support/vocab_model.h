#pragma once

#include <gguf.h>
#include <llama.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spolia::testing {

// A vocabulary to write into a GGUF without weights.
struct VocabModel {
    std::string tokenizer;  // llama | gpt2
    std::string pre;        // gpt2's way of splitting text
    std::vector<std::string> texts;
    std::vector<int32_t> types;
    std::vector<float> scores;
    std::vector<std::string> merges;
    bool add_bos = false;
    bool add_eos = false;
    bool add_space_prefix = false;
    std::string chat_template;

    int32_t add(std::string text, int32_t type = LLAMA_TOKEN_TYPE_NORMAL, float score = 0.0f) {
        texts.push_back(std::move(text));
        types.push_back(type);
        scores.push_back(score);
        return static_cast<int32_t>(texts.size()) - 1;
    }
};

inline const std::vector<std::string>& control_words() {
    static const std::vector<std::string> words = {"<|im_start|>", "<|im_end|>", "<tool_call>",
                                                   "</tool_call>", "[INST]",     "[/INST]"};
    return words;
}

// SentencePiece with byte fallback. Without `space_marker`, spaces are three byte tokens.
inline VocabModel sentencepiece_vocab(bool add_space_prefix, bool space_marker = true) {
    VocabModel vocab;
    vocab.tokenizer = "llama";
    vocab.add_bos = true;
    vocab.add_space_prefix = add_space_prefix;
    vocab.add("<unk>", LLAMA_TOKEN_TYPE_UNKNOWN);
    vocab.add("<s>", LLAMA_TOKEN_TYPE_CONTROL);
    vocab.add("</s>", LLAMA_TOKEN_TYPE_CONTROL);
    constexpr std::string_view kHex = "0123456789ABCDEF";
    for (size_t byte = 0; byte < 256; ++byte) {
        vocab.add(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">",
                  LLAMA_TOKEN_TYPE_BYTE);
    }
    for (const std::string& word : control_words()) vocab.add(word, LLAMA_TOKEN_TYPE_CONTROL);
    vocab.add("<user defined>", LLAMA_TOKEN_TYPE_USER_DEFINED);
    for (char letter = 'a'; letter <= 'z'; ++letter) {
        vocab.add(std::string(1, letter), LLAMA_TOKEN_TYPE_NORMAL, -20.0f);
    }
    for (const char* word : {"th", "the", "in", "er", "\xc3\xa9", "\xe4\xbd\xa0"}) {
        vocab.add(word, LLAMA_TOKEN_TYPE_NORMAL, -5.0f);
    }
    if (space_marker) {
        const std::string marker = "\xe2\x96\x81";
        for (const std::string& word : {marker, marker + marker, marker + "the", marker + "a"}) {
            vocab.add(word, LLAMA_TOKEN_TYPE_NORMAL, -3.0f);
        }
    }
    return vocab;
}

// How GPT-2's vocabulary writes a byte: as itself where that is printable, else as one of the
// letters from U+0100 on.
inline std::string gpt2_letter(uint32_t byte) {
    const auto printable = [](uint32_t b) {
        return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    };
    uint32_t letter = byte;
    if (!printable(byte)) {
        letter = 256;
        for (uint32_t b = 0; b < byte; ++b) letter += printable(b) ? 0 : 1;
    }
    if (letter < 0x80) return std::string(1, static_cast<char>(letter));
    return {static_cast<char>(0xc0 | (letter >> 6)), static_cast<char>(0x80 | (letter & 0x3f))};
}

inline VocabModel bpe_vocab(const std::string& pre = "qwen2") {
    VocabModel vocab;
    vocab.tokenizer = "gpt2";
    vocab.pre = pre;
    for (uint32_t byte = 0; byte < 256; ++byte) vocab.add(gpt2_letter(byte));
    const std::string space = gpt2_letter(' ');
    const std::vector<std::pair<std::string, std::string>> merges = {
        {"t", "h"}, {"th", "e"}, {space, "the"}, {"i", "n"}, {space, space}};
    for (const auto& [left, right] : merges) {
        vocab.merges.push_back(left + " " + right);
        vocab.add(left + right);
    }
    vocab.add("<|endoftext|>", LLAMA_TOKEN_TYPE_CONTROL);
    for (const std::string& word : control_words()) vocab.add(word, LLAMA_TOKEN_TYPE_CONTROL);
    vocab.add("<user defined>", LLAMA_TOKEN_TYPE_USER_DEFINED);
    return vocab;
}

struct ModelFree {
    void operator()(llama_model* model) const { llama_model_free(model); }
};
using ModelPtr = std::unique_ptr<llama_model, ModelFree>;

inline void set_strings(gguf_context* gguf, const char* key,
                        const std::vector<std::string>& values) {
    std::vector<const char*> pointers;
    for (const std::string& value : values) pointers.push_back(value.c_str());
    gguf_set_arr_str(gguf, key, pointers.data(), pointers.size());
}

inline void write_vocab(const VocabModel& vocab, const std::string& path) {
    const std::unique_ptr<gguf_context, decltype(&gguf_free)> gguf(gguf_init_empty(), gguf_free);
    const auto string = [&](const char* key, const std::string& value) {
        if (!value.empty()) gguf_set_val_str(gguf.get(), key, value.c_str());
    };
    string("general.architecture", "llama");
    string("tokenizer.ggml.model", vocab.tokenizer);
    string("tokenizer.ggml.pre", vocab.pre);
    string("tokenizer.chat_template", vocab.chat_template);
    set_strings(gguf.get(), "tokenizer.ggml.tokens", vocab.texts);
    if (!vocab.merges.empty()) set_strings(gguf.get(), "tokenizer.ggml.merges", vocab.merges);
    gguf_set_arr_data(gguf.get(), "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, vocab.scores.data(),
                      vocab.scores.size());
    gguf_set_arr_data(gguf.get(), "tokenizer.ggml.token_type", GGUF_TYPE_INT32, vocab.types.data(),
                      vocab.types.size());
    for (size_t id = 0; id < vocab.texts.size(); ++id) {
        const auto value = static_cast<uint32_t>(id);
        if (vocab.texts[id] == "<|im_start|>" && vocab.tokenizer == "gpt2") {
            gguf_set_val_u32(gguf.get(), "tokenizer.ggml.bos_token_id", value);
        }
        if (vocab.texts[id] == "</s>" || vocab.texts[id] == "<|endoftext|>") {
            gguf_set_val_u32(gguf.get(), "tokenizer.ggml.eos_token_id", value);
        }
    }
    gguf_set_val_bool(gguf.get(), "tokenizer.ggml.add_bos_token", vocab.add_bos);
    gguf_set_val_bool(gguf.get(), "tokenizer.ggml.add_eos_token", vocab.add_eos);
    gguf_set_val_bool(gguf.get(), "tokenizer.ggml.add_space_prefix", vocab.add_space_prefix);
    gguf_write_to_file(gguf.get(), path.c_str(), /*only_meta=*/true);
}

// Null where llama.cpp doesn't take the vocabulary.
inline ModelPtr load_vocab(const VocabModel& vocab) {
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    std::string path = (std::filesystem::temp_directory_path() / "spolia_vocab_XXXXXX").string();
    const int file = mkstemp(path.data());
    if (file < 0) return nullptr;
    write_vocab(vocab, path);
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    ModelPtr model(llama_model_load_from_file(path.c_str(), params));
    std::filesystem::remove(path);
    return model;
}

}  // namespace spolia::testing
