// Writes a tiny model with random weights, for tests that run whole programs.
//
//     make_tiny_model MODEL.gguf ARCHITECTURE [CHAT_TEMPLATE_FILE [SEED]]

#include <ggml.h>
#include <gguf.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "adapters/llama/random_model.h"

namespace {

using Gguf = std::unique_ptr<gguf_context, decltype(&gguf_free)>;

bool set_chat_template(const char* model, const char* file_name) {
    std::ifstream file(file_name);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    ggml_context* tensors = nullptr;
    const Gguf old(gguf_init_from_file(model, {.no_alloc = false, .ctx = &tensors}), gguf_free);
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> owner(tensors, ggml_free);
    if (text.empty() || !old) return false;
    const Gguf changed(gguf_init_empty(), gguf_free);
    gguf_set_kv(changed.get(), old.get());
    gguf_set_val_str(changed.get(), "tokenizer.chat_template", text.c_str());
    for (int64_t i = 0; i < gguf_get_n_tensors(old.get()); ++i) {
        gguf_add_tensor(changed.get(),
                        ggml_get_tensor(tensors, gguf_get_tensor_name(old.get(), i)));
    }
    return gguf_write_to_file(changed.get(), model, false);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3 || argc > 5) {
        std::fprintf(stderr, "usage: %s MODEL.gguf ARCHITECTURE [CHAT_TEMPLATE_FILE [SEED]]\n",
                     argv[0]);
        return 2;
    }
    spolia::RandomModelShape shape = spolia::tiny_model_shape(argv[2]);
    if (argc == 5) shape.seed = std::strtoull(argv[4], nullptr, 10);
    const spolia::Status written = spolia::write_random_model(shape, argv[1]);
    if (!written.ok()) {
        std::fprintf(stderr, "%s\n", written.error().message.c_str());
        return 1;
    }
    if (argc >= 4 && !set_chat_template(argv[1], argv[3])) {
        std::fprintf(stderr, "can't give %s the chat template of %s\n", argv[1], argv[3]);
        return 1;
    }
    return 0;
}
