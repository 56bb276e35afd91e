#include "broker/cli/own_models.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "adapters/llama/random_model.h"
#include "broker/cache_folder.h"
#include "broker/sample/kept_file.h"
#include "index/fingerprint.h"

// Of broker/sample/sample_model.S.
extern "C" const std::byte spolia_sample_model[];
extern "C" const uint64_t spolia_sample_model_size;

namespace spolia {

Result<std::filesystem::path> timing_model() {
    // The name carries the recipe's version: a changed one makes a new file.
    const std::filesystem::path path = cache_folder() / "random-qwen2-0.5b-q8_0-v1.gguf";
    std::error_code error;
    if (std::filesystem::exists(path, error)) return path;
    std::filesystem::create_directories(path.parent_path(), error);
    std::fprintf(stderr, "writing the timing model (random weights, 440 MB) to %s\n", path.c_str());
    if (Status status = write_random_model(RandomModelShape{}, path.string()); !status) {
        return status.error();
    }
    return path;
}

Result<std::filesystem::path> sample_model() {
    const std::span<const std::byte> bytes(spolia_sample_model, spolia_sample_model_size);
    if (bytes.empty()) {
        return Error{ErrorCode::kInvalidArgument,
                     "no model: name a GGUF file with --model (this program was built without the "
                     "sample model)"};
    }
    // Programs of several versions may share the folder. The file's name is the model's.
    const std::string version = hash_bytes(bytes).hex().substr(0, 12);
    const std::filesystem::path path =
        cache_folder() / ("sample_model-" + version) / "spolia-sample.gguf";
    if (Status status = keep_file(path, bytes); !status) return status.error();
    return path;
}

Result<std::filesystem::path> model_or_sample(const std::filesystem::path& named) {
    return named.empty() ? sample_model() : Result<std::filesystem::path>(named);
}

}  // namespace spolia
